"""Letters: what one principal writes to the other, as both desks keep it.

Every part is checked when it is made, so a ``Letter`` that exists can be sealed,
stored, shown on a terminal and written out; decoding makes the parts the same way
and differs only in whose fault a failure is. ``Letter.decode(b).encode() == b``
for all bytes that decode (docs/spec/letter.md §1). How an author writes one is
``draft``'s business, what hides it is ``seal``'s.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from backchannel import encoding
from backchannel.encoding import Value
from backchannel.errors import MalformedError, UsageError
from backchannel.keys import LetterId, ReleaseSeed

# Specification constants (docs/spec/letter.md §3). Sizes are in bytes of UTF-8
# or of encoding. They bound what a correspondent can make a desk hold at once.
MAX_LETTER: Final = 40 * 1024 * 1024
MAX_TEXT: Final = 4 * 1024 * 1024
MAX_ENCLOSURE: Final = 16 * 1024 * 1024
MAX_FIELD: Final = 1024
MAX_NAME: Final = 255
MAX_TEXTS: Final = 8
MAX_PARAGRAPHS: Final = 16_384  # in one text, list items included
MAX_ENCLOSURES: Final = 64
MAX_ANSWERS: Final = 64
MAX_CITATIONS: Final = 1024
MAX_VALUES: Final = 300_000  # in its encoding: more than the limits above come to


class SignatureState(enum.StrEnum):
    """How the letter is signed, in the closed list of the record."""

    SIGNED = "signed"
    INITIALLED = "initialled"
    TYPED = "typed"
    UNSIGNED = "unsigned"


class Role(enum.StrEnum):
    """What one text of a letter is to the others."""

    ORIGINAL = "original"
    TRANSLATION = "translation"
    COURTESY_TRANSLATION = "courtesy translation"
    WORKING_TEXT = "working text"


@dataclass(frozen=True, slots=True)
class Head:
    """What stands above and below the text, each field one line as written."""

    sender: str = ""
    recipient: str = ""
    date: str = ""
    place: str = ""
    signature: str = ""
    state: SignatureState = SignatureState.UNSIGNED
    caveat: str = ""

    def __post_init__(self) -> None:
        for name, field in zip(_HEAD_NAMES, self.fields, strict=True):
            check_line(name, field)

    @property
    def fields(self) -> tuple[str, ...]:
        """The seven fields in their order, which is also that of the header's units."""
        return self.sender, self.recipient, self.date, self.place, self.signature, self.state.value, self.caveat


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph: text in which a line feed is a hard line break."""

    text: str

    def __post_init__(self) -> None:
        check_text("a paragraph", self.text)


@dataclass(frozen=True, slots=True)
class Items:
    """A list: at least one item, each a paragraph of its own in the margin's count."""

    items: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.items:
            raise UsageError("a list has no items")
        for item in self.items:
            check_text("a list item", item)


Block: TypeAlias = Paragraph | Items


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a letter, in one language."""

    role: Role = Role.ORIGINAL
    language: str = "en"
    salutation: str = ""
    blocks: tuple[Block, ...] = ()
    close: str = ""

    def __post_init__(self) -> None:
        if _LANGUAGE.fullmatch(self.language) is None:
            raise UsageError("the language is not a tag of 1 to 35 letters, digits and hyphens")
        check_text("the salutation", self.salutation)
        check_text("the close", self.close)
        if len(self.paragraphs) > MAX_PARAGRAPHS:
            raise UsageError(f"a text has more than {MAX_PARAGRAPHS:,} paragraphs")
        if len(encoding.encode(self._value())) > MAX_TEXT:
            raise UsageError(f"a text is larger than {_mib(MAX_TEXT)}")

    @property
    def paragraphs(self) -> tuple[str, ...]:
        """The salutation, each paragraph and list item, the close: the paragraph table.

        The salutation is always there, so a body paragraph's index is its number
        in the margin, counted from 1.
        """
        body: list[str] = []
        for block in self.blocks:
            body += block.items if isinstance(block, Items) else (block.text,)
        return self.salutation, *body, self.close

    def _value(self) -> Value:
        blocks = tuple(block.items if isinstance(block, Items) else block.text for block in self.blocks)
        return self.role.value, self.language, self.salutation, blocks, self.close


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage of a letter: units *first* to *last*, both included, of its text number *text*, from 0."""

    letter: LetterId
    text: int
    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.text < MAX_TEXTS:
            raise UsageError(f"a citation is of text {self.text}, which no letter has")
        if not 0 <= self.first <= self.last <= encoding.MAX_INTEGER:
            raise UsageError("a citation ends before it begins")


@dataclass(frozen=True, slots=True)
class Enclosure:
    """A file that goes with the letter."""

    name: str
    media_type: str
    data: bytes

    def __post_init__(self) -> None:
        check_file_name(self.name)
        if _MEDIA_TYPE.fullmatch(self.media_type) is None:
            raise UsageError("an enclosure's media type is not of the form type/subtype")
        if len(self.data) > MAX_ENCLOSURE:
            raise UsageError(f"an enclosure is larger than {_mib(MAX_ENCLOSURE)}")


@dataclass(frozen=True, slots=True)
class Letter:
    """A whole letter, the same at both desks."""

    id: LetterId
    seed: ReleaseSeed
    head: Head
    texts: tuple[Text, ...]
    answers: tuple[LetterId, ...] = ()
    citations: tuple[Citation, ...] = ()
    enclosures: tuple[Enclosure, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.texts) <= MAX_TEXTS:
            raise UsageError(f"a letter has {len(self.texts)} texts, not 1 to {MAX_TEXTS}")
        if len(self.answers) > MAX_ANSWERS:
            raise UsageError(f"a letter answers more than {MAX_ANSWERS} others")
        if len(self.citations) > MAX_CITATIONS:
            raise UsageError(f"a letter has more than {MAX_CITATIONS:,} citations")
        if len(self.enclosures) > MAX_ENCLOSURES:
            raise UsageError(f"a letter has more than {MAX_ENCLOSURES} enclosures")
        # Written out, the second would overwrite the first; to some disks case is nothing.
        if len({enclosure.name.casefold() for enclosure in self.enclosures}) != len(self.enclosures):
            raise UsageError("two enclosures have the same name")
        if len(self.encode()) > MAX_LETTER:
            raise UsageError(f"a letter is larger than {_mib(MAX_LETTER)}")

    def encode(self) -> bytes:
        """The letter's bytes; the inverse of :meth:`decode`."""
        return encoding.encode(
            (
                self.id,
                self.seed,
                self.head.fields,
                tuple(text._value() for text in self.texts),  # noqa: SLF001 - same module
                self.answers,
                tuple((c.letter, c.text, c.first, c.last) for c in self.citations),
                tuple((e.name, e.media_type, e.data) for e in self.enclosures),
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> Letter:
        """Parse a letter received in an envelope, or kept by a desk.

        Raises:
            MalformedError: For each reason in docs/spec/letter.md §4.
        """
        # Size first: a letter is copied a few times on the way to its parts.
        if len(data) > MAX_LETTER:
            raise MalformedError(f"a letter is larger than {_mib(MAX_LETTER)}")
        value = encoding.decode(data, values=MAX_VALUES)
        try:
            return _letter(value)
        except UsageError as error:
            raise MalformedError(error.message) from None


def check_text(what: str, text: str) -> None:
    """Refuse in *text* what no letter may hold: an escape sequence in it would drive its reader's terminal.

    Raises:
        UsageError: If *text* has a control character other than a line feed or a
            tab, or a lone surrogate.
    """
    found = _CONTROL.search(text)
    if found is not None:
        raise UsageError(f"{what} holds the control character U+{ord(found[0]):04X}")


def check_line(what: str, text: str) -> None:
    """Refuse *text* as a field of the head: one line, at most 1 KiB, no white space around it.

    Raises:
        UsageError: If it is not that.
    """
    check_text(what, text)
    if _BREAK.search(text) is not None:
        raise UsageError(f"{what} is more than one line")
    # A name that differs from another only in a trailing space is that other name to every reader.
    if text != text.strip():
        raise UsageError(f"{what} has white space around it")
    if len(text.encode()) > MAX_FIELD:
        raise UsageError(f"{what} is longer than {MAX_FIELD:,} bytes")


def check_file_name(name: str) -> None:
    """Refuse *name* for an enclosure unless it is a plain file name: it becomes one on its reader's disk.

    Raises:
        UsageError: If it is a path, holds what a name hides behind, or is too long.
    """
    check_line("an enclosure's name", name)
    if name in {"", ".", ".."} or _NOT_IN_NAMES.search(name) is not None:
        raise UsageError("an enclosure's name is not a plain file name")
    if len(name.encode()) > MAX_NAME:
        raise UsageError(f"an enclosure's name is longer than {MAX_NAME} bytes")


def _letter(value: Value) -> Letter:
    match value:
        case (
            bytes() as name,
            bytes() as seed,
            head,
            tuple() as texts,
            tuple() as answers,
            tuple() as cites,
            tuple() as files,
        ):
            return Letter(
                id=_id(name),
                seed=_seed(seed),
                head=_head(head),
                texts=tuple(_text(text) for text in texts),
                answers=tuple(_id(answer) for answer in answers),
                citations=tuple(_citation(citation) for citation in cites),
                enclosures=tuple(_enclosure(file) for file in files),
            )
    raise MalformedError("a letter is not its seven parts")


def _id(value: Value) -> LetterId:
    if not isinstance(value, bytes) or len(value) != LetterId.size:
        raise MalformedError(f"a letter's id is not {LetterId.size} bytes")
    return LetterId(value)


def _seed(value: bytes) -> ReleaseSeed:
    if len(value) != ReleaseSeed.size:
        raise MalformedError(f"a release seed is not {ReleaseSeed.size} bytes")
    return ReleaseSeed(value)


def _head(value: Value) -> Head:
    match value:
        case (
            str() as sender,
            str() as recipient,
            str() as date,
            str() as place,
            str() as name,
            str() as state,
            str() as caveat,
        ):
            if state not in set(SignatureState):
                raise MalformedError("a letter's signature state is not one of the four")
            return Head(sender, recipient, date, place, name, SignatureState(state), caveat)
    raise MalformedError("a letter's head is not seven texts")


def _text(value: Value) -> Text:
    match value:
        case (str() as role, str() as language, str() as salutation, tuple() as blocks, str() as close):
            if role not in set(Role):
                raise MalformedError("a text's role is not one of the four")
            return Text(Role(role), language, salutation, tuple(_block(block) for block in blocks), close)
    raise MalformedError("a text is not role, language, salutation, blocks and close")


def _block(value: Value) -> Block:
    match value:
        case str():
            return Paragraph(value)
        case tuple():
            if all(isinstance(item, str) for item in value):
                return Items(tuple(item for item in value if isinstance(item, str)))
    raise MalformedError("a block is neither a paragraph nor a list")


def _citation(value: Value) -> Citation:
    match value:
        case (letter, int() as text, int() as first, int() as last):
            return Citation(_id(letter), text, first, last)
    raise MalformedError("a citation is not id, text, first and last unit")


def _enclosure(value: Value) -> Enclosure:
    match value:
        case (str() as name, str() as media_type, bytes() as data):
            return Enclosure(name, media_type, data)
    raise MalformedError("an enclosure is not name, media type and data")


def _mib(size: int) -> str:
    return f"{size // 1024 // 1024} MiB"


_HEAD_NAMES: Final = (
    "the sender", "the recipient", "the date", "the place", "the signature", "the signature's state", "the caveat",
)  # fmt: skip
_BREAK: Final = re.compile("[\n\u2028\u2029]")  # the last two break a line on a page, if not on a terminal
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # Cc but \t and \n; Cs
# Separators of paths, a tab, and the marks that turn "gnp.exe" around to read "exe.png".
_NOT_IN_NAMES: Final = re.compile("[/\\\\\t\u202a-\u202e\u2066-\u2069]")
_LANGUAGE: Final = re.compile("[A-Za-z0-9-]{1,35}")
_MEDIA_TYPE: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
)  # RFC 6838 §4.2
