"""A second implementation of the specification, written from its pages alone, to compare the first one with."""
