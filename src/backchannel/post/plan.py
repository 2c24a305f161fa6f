"""The plan: what the numbers of a charter buy, and what they cost.

Computed from the charter alone, by the same functions that size its messages,
so that a draft can be weighed before anybody signs (docs/spec/charter.md §1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from backchannel.post import packet
from backchannel.post import visit as visits
from backchannel.post.charter import Charter

LETTER: Final = 20_000  # bytes of the envelope of a long letter
DAY: Final = 86_400_000  # ms

# Measured on one core of a server of 2024 by `python -m bench.post 1000`, and
# rounded up and down: what a visit costs besides the product, and what a product
# of queries and a table goes through, counting an eighth of the table for each
# query. More desks make larger batches, which go through up to four times as much.
VISIT_TIME: Final = 0.0005  # seconds
PRODUCT_SPEED: Final = 2e9  # bytes a second

ROW_COST: Final = 16  # bytes of a kept row besides the packet


@dataclass(frozen=True, slots=True)
class Plan:
    """What a charter buys and costs."""

    letter: int  # ms until a letter of 20 kB has arrived, if nothing is lost
    desk: int  # bytes that a desk and all operators exchange in a day
    catching_up: int  # the same for a desk that has rounds to read, all day long
    cores: float  # that an operator needs, all mailboxes taken and all catching up
    disk: int  # bytes that an operator keeps, all rows taken


def plan(charter: Charter, letter: int = LETTER) -> Plan:
    """Weigh *charter*.

    A letter: it waits half a turn of the places for its correspondent's, then a
    fragment goes at each turn; the last is asked about in the next round and
    collected in the one after. A desk: the visits of a day at all operators,
    there and back, without what HTTP adds. Cores: a visit costs what opening it
    does, and each of its queries goes through an eighth of the table's bytes.
    Disk: the rows of the window and of the block that is served last.
    """
    numbers = charter.numbers
    turns = -(-letter // packet.room(numbers.packet)) - 1
    rounds = numbers.places / 2 + turns * numbers.places + 2
    queries = numbers.reads * (1 + numbers.catch_up)
    product = queries * numbers.capacity / 8 * numbers.packet / PRODUCT_SPEED
    return Plan(
        letter=round(rounds * numbers.period),
        desk=_a_day(charter, more=False),
        catching_up=_a_day(charter, more=True),
        cores=numbers.capacity * (VISIT_TIME + product) * 1000 / numbers.period,
        disk=(numbers.window + numbers.catch_up) * numbers.capacity * (numbers.packet + ROW_COST),
    )


def _a_day(charter: Charter, *, more: bool) -> int:
    """Bytes of the visits of a day: which operator gets which share takes turns, so one round is as another."""
    there = sum(visits.request_size(charter, 0, at, more=more) for at in range(charter.operators))
    back = charter.operators * visits.reply_size(charter, more=more)
    return (there + back) * DAY // charter.numbers.period
