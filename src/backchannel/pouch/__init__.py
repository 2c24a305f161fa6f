"""What a courier carries: a file of random bytes that holds sealed envelopes."""

from backchannel.pouch.pouch import ForeignPouchError, Unpacked, fits, pack, seal_number, unpack

__all__ = ["ForeignPouchError", "Unpacked", "fits", "pack", "seal_number", "unpack"]
