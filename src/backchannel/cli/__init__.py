"""The command line: an edge, where time, randomness and files come in."""
