"""How the post office stands, as `status` tells it: the porter, the operators, and what is owed to whom."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from backchannel.cli.opening import local
from backchannel.cli.talk import Call
from backchannel.cli.visible import one_line
from backchannel.desk import post
from backchannel.desk.desk import Desk
from backchannel.desk.post import Membership
from backchannel.desk.records import Stage
from backchannel.post.charter import Charter, SignedCharter
from backchannel.post.keeping import CLOCK_ZERO
from backchannel.post.tray import FromPorter

Notice = tuple[str, str]

SILENT_ROUNDS: Final = 10  # after so many, who was not heard is named
SHOWN_DAYS: Final = 7
DAY: Final = 86_400


def report(desk: Desk) -> dict[str, Any] | None:
    """For programs: what is known of the post office; None where this desk is in none."""
    member = post.membership(desk)
    if member is None:
        return None
    said = member.said()
    known: dict[str, Any] = {"office": member.terms.name, "mailbox": member.mailbox, "tray": member.folder}
    if said is None:
        return known
    return known | {
        "round": said.round,
        "effective": said.effective - 1 if said.effective else None,
        "copy": said.copy,
        "attendance": [{"day": _day(day), "visits": made, "answered": all_} for day, made, all_ in said.attendance],
        "operators": [
            {
                "name": each.name,
                "heard": each.heard - 1 if each.heard else None,
                "clock_ms": each.clock - CLOCK_ZERO,
                "admitted": list(each.admitted),
            }
            for each in said.operators
        ],
        "reports": [
            {"day": _day(each.day), "what": each.kind, "operator": each.operator, "times": each.count}
            for each in said.reports
        ],
    }


def lines(call: Call, desk: Desk) -> list[str]:
    """For people: where this desk stands, its attendance, and how many each operator has admitted."""
    member = post.membership(desk)
    if member is None:
        return []
    said, terms = member.said(), member.terms
    head = f"post office {terms.name}, mailbox {member.mailbox}"
    if said is None:
        return [f"{head}: the porter has not been heard yet"]
    if not said.effective:
        return [f"{head}: not enrolled with all operators yet"]
    if said.round < said.effective - 1:
        return [f"{head}: takes part from {_when(call, terms.begins(said.effective - 1))}"]
    last = f"the porter was last heard {_when(call, terms.begins(said.round))}"
    out = [f"{head}: {last}"]
    if said.attendance:
        day, made, answered = said.attendance[-1]
        out.append(f"{_day(day)}: {made:,} visits, {answered:,} answered by all operators")
    counts = next((each.admitted for each in said.operators if each.admitted), ())
    shares = [f"{share.issuer} {count:,}" for share, count in zip(terms.shares, counts, strict=False)]
    return [*out, f"members: {', '.join(shares)}"] if shares else out


def notices(call: Call, desk: Desk) -> list[Notice]:
    """What its owner should know or do."""
    member = post.membership(desk)
    if member is None:
        return []
    said, now = member.said(), call.edge.now() * 1000
    if said is None:
        return [("the porter has not been heard: is it running?", "backchannel porter")]
    charter = member.terms
    found = _of_porter(call, member, said, now)
    found += _of_operators(call, charter, said)
    found += _of_reports(said, now)
    return found + _of_lines(desk, said) + _of_letters(desk, charter, now)


def _of_porter(call: Call, member: Membership, said: FromPorter, now: int) -> list[Notice]:
    found: list[Notice] = []
    charter = member.terms
    if charter.round_at(now) - said.round > SILENT_ROUNDS:
        when = _when(call, charter.begins(said.round))
        found.append((f"the porter was not heard since {when}: is it running?", "backchannel porter"))
    if said.copy:
        text = "another porter visits with the keys of this one, which carries no more: stop one of them, and join anew"
        found.append((text, "backchannel join CHARTER --ticket-file FILE"))
    if said.asking and not member.agreed:
        name = one_line(SignedCharter.decode(said.asking).charter.name)
        text = f"a new charter of {name} awaits your word: an operator of the one before has not signed it"
        found.append((text, "backchannel join --agree"))
    return found


def _of_operators(call: Call, charter: Charter, said: FromPorter) -> list[Notice]:
    found: list[Notice] = []
    for each in said.operators:
        heard = each.heard - 1
        if said.effective and said.round >= said.effective and said.round - heard > SILENT_ROUNDS:
            since = f"since {_when(call, charter.begins(heard))}" if each.heard else "yet"
            text = f"{one_line(each.name)} has not answered {since}, and nothing is carried meanwhile but by hand"
            found.append((text, "backchannel pack WHO -o FILE"))
    counts = next((each.admitted for each in said.operators if each.admitted), ())
    for share, count in zip(charter.shares, counts, strict=False):
        if count < share.quorum:
            text = f"{share.issuer} has admitted {count:,}, and the charter wants {share.quorum:,}: the crowd is small"
            found.append((text, ""))
    return found


def _of_reports(said: FromPorter, now: int) -> list[Notice]:
    since = now // 1000 // DAY - SHOWN_DAYS
    found: list[Notice] = []
    for each in said.reports:
        if each.day > since:
            who = f"{one_line(each.operator)} " if each.operator else ""
            times = "once" if each.count == 1 else f"{each.count:,} times"
            found.append((f"{_day(each.day)}: {who}{one_line(each.kind)}, {times}", ""))
    return found


def _of_lines(desk: Desk, said: FromPorter) -> list[Notice]:
    """Correspondents whose packet keys neither desk nor porter has: they were handed to a porter that is gone."""
    lines = {line.name: line for line in said.lines}
    found: list[Notice] = []
    for person in desk.people():
        line = lines.get(post.line_name(person)) if person.met else None
        if line is None:
            continue
        state = desk.keys(person)
        sending = state.tx.turn - 1 if state.tx else 0
        if sending not in line.roots and sending not in state.roots and not state.frozen:
            text = f"nothing goes to {one_line(person.name)} by post: the keys for it went with an earlier porter"
            found.append((text, f'backchannel meet --again "{person.name}" -o FILE'))
    return found


def _of_letters(desk: Desk, charter: Charter, now: int) -> list[Notice]:
    """Letters that have not been carried within the window: the two porters were never online together."""
    late = now - charter.numbers.window * charter.numbers.period
    found: list[Notice] = []
    for person in desk.people():
        if not person.met:
            continue
        waiting = [e for e in desk.entries(person) if e.posted and e.stage is Stage.LEFT and e.left * 1000 < late]
        if waiting:
            numbers = ", ".join(str(entry.number) for entry in waiting[:6])
            text = (
                f"not carried to {one_line(person.name)} since they left: letter {numbers}; "
                "their porter and yours were not online together for longer than rounds are kept"
            )
            found.append((text, f'backchannel pack "{person.name}" --again -o FILE'))
    return found


def _when(call: Call, instant: int) -> str:
    return f"{local(call, instant // 1000):%Y-%m-%d %H:%M}"


def _day(day: int) -> str:
    # Days are the operators' and porters' own, in UTC: they say no more than a date.
    return datetime.fromtimestamp(day * DAY, UTC).strftime("%Y-%m-%d")
