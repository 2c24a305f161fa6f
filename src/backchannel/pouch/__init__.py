"""What a courier carries: a file of random bytes that holds sealed envelopes."""

from backchannel.pouch.pouch import (
    CAPACITY,
    SIZES,
    ForeignPouchError,
    Unpacked,
    pack,
    room_for,
    seal_number,
    unpack,
)

__all__ = ["CAPACITY", "SIZES", "ForeignPouchError", "Unpacked", "pack", "room_for", "seal_number", "unpack"]
