"""Opening a desk for a verb, and letting what it made leave only after the commit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from backchannel import files
from backchannel.cli.faults import corrected
from backchannel.cli.talk import Call, nearest
from backchannel.cli.visible import one_line
from backchannel.desk import records
from backchannel.desk.desk import Desk, Means, UnknownPersonError
from backchannel.desk.records import Entry, Person
from backchannel.errors import NegativeError, UnavailableError, UsageError
from backchannel.seal.card import fold

MAX_FILE = 64 * 1024 * 1024  # bytes; nothing that a verb takes is larger
MOST_COUNTED = 6  # letters missed are named one by one up to this many


def means(call: Call) -> Means:
    """What a desk has from this edge."""
    return Means(call.edge.counters, call.edge.kem, call.edge.random)


@contextlib.contextmanager
def open_desk(call: Call) -> Iterator[Desk]:
    """Open the desk that was named, and lock it at the end: at both, files are exchanged with its porter.

    Raises:
        NegativeError: If there is none.
        LockedError, UnavailableError: As Desk.open.
    """
    if not call.desk.exists():
        raise NegativeError(f"there is no desk in {one_line(str(call.desk))}", hint=call.line("init", "--name", "NAME"))
    with Desk.open(call.desk, call.passphrase(), means=means(call)) as desk:
        # A full disk must not keep anybody from reading.
        with contextlib.suppress(UnavailableError):
            desk.lapse(call.edge.now())
        told = _exchange(call, desk)
        try:
            yield desk
        finally:
            # Whatever became of the verb: the desk is locked, and what was sealed leaves.
            _exchange(call, desk, told=told)


def porter_folder(call: Call) -> Path:
    """Where the porter of this desk lies, if it is on this machine."""
    return call.desk.with_name(f"{call.desk.name}.porter")


def tray_folder(call: Call) -> Path:
    """Where this desk and its porter exchange files, if no other folder was named."""
    return call.desk.with_name(f"{call.desk.name}.tray")


def _exchange(call: Call, desk: Desk, *, told: str = "") -> str:
    """Exchange files with the porter: what is wrong with the tray, if anything, *told* once."""
    # Imported here: a desk that is in no post office needs neither.
    if desk.store.get(records.POST, b"") is None:
        return ""
    from backchannel.cli import arrivals  # noqa: PLC0415
    from backchannel.desk import post  # noqa: PLC0415
    from backchannel.post.ciphers import ReplyCipher  # noqa: PLC0415

    exchanged = post.exchange(desk, now=call.edge.now(), cipher=ReplyCipher())
    for came in exchanged.came:
        for line in arrivals.lines(call, desk, came.opened):
            call.say(f"by post from {one_line(came.person.name)}: {line}")
        arrivals.warn(call, desk, came.person, came.opened)
    if exchanged.trouble not in ("", told):
        call.warn(f"{exchanged.trouble}; nothing is lost, and nothing is carried until it can be")
    return exchanged.trouble


def find(call: Call, desk: Desk, name: str) -> Person:
    """Find somebody by name; the error for a wrong one suggests the nearest."""
    try:
        return desk.person(name)
    except UnknownPersonError as error:
        # A mistyped word of a name is nearer to that word than to the name.
        by_word = {word: known for known in error.known for word in (known, *known.split())}
        meant = nearest(name, by_word)
        if meant:
            error.message += f": did you mean “{by_word[meant]}”?"
            error.hint = corrected(call.arguments, name, by_word[meant])
        raise


def caution(entry: Entry) -> str:
    """What the owner has to know of the keys that a letter came under, if anything."""
    if entry.outgoing:
        return ""
    if entry.uncompared:
        return "came under keys whose words were never compared: it may be anybody's"
    return "came under keys that were renewed since: whoever had those may have written it" if entry.superseded else ""


def alike(one: str, other: str) -> bool:
    """Whether two names have a word in common: "Mr. Orlov" is Mikhail Orlov, and Anna Reuter is not."""
    return not set(fold(one).split()).isdisjoint(fold(other).split())


def leave(path: Path, data: bytes, commit: Callable[[], None], *, otherwise: str) -> None:
    """Let *data* leave as the file *path*, after *commit* and never before.

    What can fail for want of space fails while nothing has happened; if only
    the last renaming fails, *otherwise* is the command that makes it good.
    """
    staged = files.stage(path, data)
    try:
        commit()
    except BaseException:
        staged.discard()
        raise
    try:
        staged.publish()
    except (UsageError, UnavailableError) as error:
        error.hint = otherwise
        raise


def take(path: Path) -> bytes:
    """Read a file that somebody brought.

    Raises:
        UsageError: If there is none, or it is larger than anything that comes.
    """
    data = files.read(path, MAX_FILE)
    if data is None:
        raise UsageError(f"there is no file {one_line(str(path))}")
    if len(data) > MAX_FILE:
        raise UsageError(f"{one_line(path.name)} is larger than anything that is carried")
    return data


def not_come(person: Person, missing: Sequence[int]) -> str:
    """What to say of letters that others came after.

    They are counted among the letters of their writer, the same on both desks:
    the numbers in the lists are each desk's own.
    """
    counted = [ordinal(number) for number in missing]
    if len(counted) > MOST_COUNTED:
        which = f"{len(counted)} between the {counted[0]} and the {counted[-1]}"
    else:
        which = " and ".join(f"the {number}" for number in counted)
    have = "has" if len(counted) == 1 else "have"
    return f"of all {one_line(person.name)} wrote since you met, {which} {have} not come, or {have} been recalled"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th."""
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


def day(call: Call, seconds: int) -> str:
    """A date as it stands in a list."""
    return local(call, seconds).strftime("%Y-%m-%d") if seconds else ""


def written_day(call: Call, seconds: int) -> str:
    """A date as it stands in a letter: 16 October 1961."""
    date = local(call, seconds)
    return f"{date.day} {date:%B %Y}"


def local(call: Call, seconds: int) -> datetime:
    """A moment on the clock of the wall beside this desk."""
    return call.edge.local(seconds)
