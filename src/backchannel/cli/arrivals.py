"""What is said of envelopes that came, whoever carried them."""

from __future__ import annotations

from collections import Counter

from backchannel.cli.opening import caution, not_come
from backchannel.cli.talk import Call
from backchannel.cli.typeset import in_words
from backchannel.cli.visible import one_line
from backchannel.desk.carriage import Opened, Outcome, Unpacked
from backchannel.desk.desk import Desk
from backchannel.desk.records import Entry, Person


def lines(call: Call, desk: Desk, opened: Opened | Unpacked) -> list[str]:
    """A line for each letter that came, or had come before."""
    out = []
    for arrival in opened.arrivals:
        if arrival.outcome is Outcome.OPENED:
            out.append(_line(call, desk.entry(arrival.number)))
        elif arrival.outcome in (Outcome.ALREADY, Outcome.UNREADABLE):
            out.append(f"letter {arrival.number}: {arrival.outcome.value}")
    return out


def warn(call: Call, desk: Desk, person: Person, opened: Opened | Unpacked) -> None:
    """What the owner has to know of them."""
    refused = Counter(arrival.why for arrival in opened.arrivals if arrival.outcome is Outcome.REFUSED)
    for why, count in refused.items():
        call.warn(f"an envelope was refused: {why}" if count == 1 else f"{count} envelopes were refused: {why}")
    for arrival in opened.arrivals:
        if arrival.outcome is Outcome.OPENED and (what := caution(desk.entry(arrival.number))):
            call.warn(f"letter {arrival.number} {what}")
    deferred = sum(arrival.outcome is Outcome.DEFERRED for arrival in opened.arrivals)
    if deferred:
        call.warn(f"{deferred} more are very large and not opened yet: unpack this pouch again for them")
    if opened.missing:
        call.warn(not_come(person, opened.missing))
    if opened.froze:
        call.warn(f"this correspondence is frozen now: {opened.froze}")
        call.hint(f'backchannel meet --again "{person.name}" -o FILE')


def _line(call: Call, entry: Entry) -> str:
    if entry.id is None:
        return "an empty letter" if entry.kind == "empty" else "where their letters are to be left from now on"
    dated = f", dated {one_line(entry.dated)}" if entry.dated else ""
    return f"letter {entry.number}{dated}, {in_words(entry.words)}: {call.line('read', str(entry.number))}"
