"""What is written: letters, the text form of their drafts, their units and their commitment.

Pure: no clock, no generator, no file. What a letter is sealed in is ``seal``'s,
what is known about it the record's, and what is shown of it the press's.
"""

from backchannel.letters.address import address, draft_of
from backchannel.letters.commitment import Commitment, TextCommitment, commit
from backchannel.letters.draft import (
    Draft,
    Parsed,
    Passage,
    format_draft,
    format_passage,
    has_header,
    parse,
    parse_passage,
)
from backchannel.letters.item import Empty, Item, Moved, Unknown, pack, unpack
from backchannel.letters.letter import (
    Block,
    Citation,
    Enclosure,
    Head,
    Items,
    Letter,
    Paragraph,
    Role,
    SignatureState,
    Text,
)
from backchannel.letters.units import split

__all__ = [
    "Block",
    "Citation",
    "Commitment",
    "Draft",
    "Empty",
    "Enclosure",
    "Head",
    "Item",
    "Items",
    "Letter",
    "Moved",
    "Paragraph",
    "Parsed",
    "Passage",
    "Role",
    "SignatureState",
    "Text",
    "TextCommitment",
    "Unknown",
    "address",
    "commit",
    "draft_of",
    "format_draft",
    "format_passage",
    "has_header",
    "pack",
    "parse",
    "parse_passage",
    "split",
    "unpack",
]
