"""Backchannel: letters in confidence between two principals, carried so that nobody else learns of them."""

__version__ = "0.1.0"
