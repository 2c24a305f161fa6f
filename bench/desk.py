"""What a desk with ten thousand letters takes: to list them, and to send one more."""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from sqlcipher3 import dbapi2 as sqlcipher

from backchannel.cli.app import main
from backchannel.desk import records
from backchannel.desk.desk import Changes
from backchannel.desk.records import Entry, Stage, number_name
from backchannel.desk.writing import sent_name
from backchannel.keys import LetterId
from tests.cli.stage import Stage as Home
from tests.desk.small import PASSPHRASE
from tests.desk.two_desks import Side, prose, two_desks

LETTERS: Final = 10_000
BODY: Final = 1_000  # bytes of a letter, compressed
ROUNDS: Final = 9
STEP: Final = 32 * 1024 * 1024

# Each entry is held against its tag and decoded, in Python: about 60 microseconds
# each, where a bare row takes one.
ENTRIES: Final = 100.0
SEND: Final = 3.0


def run() -> list[tuple[str, str]]:
    """The claims of this file and what was measured: medians of interleaved rounds."""
    with tempfile.TemporaryDirectory() as folder, two_desks(Path(folder), step=STEP) as (anna, mikhail):
        few = [_seconds(lambda: _send(mikhail)) for _ in range(ROUNDS)]
        anna.desk.commit(_letters(anna))
        _passphrase(Path(folder))
        rows, entries, listed, many = [], [], [], []
        with _table(Path(folder) / "plain.db", anna) as read:
            for _ in range(ROUNDS):
                rows.append(_seconds(read))
                entries.append(_seconds(lambda: list(anna.desk.entries())))
                many.append(_seconds(lambda: _send(anna)))
                anna.close()
                listed.append(_seconds(lambda: _list(Path(folder))))
        return [
            (
                f"the {LETTERS:,} entries of a desk take at most {ENTRIES:g} times their rows in a plain SQLCipher table",
                f"{_ratio(entries, rows)} ({_ms(entries)} against {_ms(rows)})",
            ),
            (
                f"to list {LETTERS:,} letters on the command line, opening the desk included",
                f"{_ms(listed)}, {_ratio(listed, rows)} times the rows; without the key's derivation",
            ),
            (
                f"to send a letter at {LETTERS:,} letters costs at most {SEND:g} times what it costs at none",
                f"{_ratio(many, few)} ({_ms(many)} against {_ms(few)}; no wait for the disk)",
            ),
        ]


def _passphrase(folder: Path) -> None:
    path = folder / "passphrase"
    path.touch(mode=0o600)
    path.write_text(PASSPHRASE)


def _letters(side: Side) -> Changes:
    """Ten thousand letters as a desk has them after ten years, half of them its own."""
    changes: Changes = {}
    person = side.person.id
    for number in range(1, LETTERS + 1):
        name, outgoing, id_ = number_name(number), number % 2 == 0, LetterId(os.urandom(32))
        stage = Stage.ARRIVED if outgoing else Stage.READ
        changes[records.LETTERS, name] = Entry(
            number, person, outgoing, stage, 0, number, id_, "letter", "16 October 2031", 900, number, number, number
        ).encode()
        changes[records.TEXTS, name] = os.urandom(BODY)
        changes[records.IDS, id_] = name
        changes[records.ENVELOPES, os.urandom(32)] = name
        if outgoing:
            changes[records.SENT, sent_name(person, 0, number)] = name
    return changes


@contextlib.contextmanager
def _table(path: Path, side: Side) -> Iterator[Callable[[], object]]:
    """The same entries as rows of one table, and nothing else: what reads them."""
    connection: Any = sqlcipher.connect(str(path), isolation_level=None)
    connection.execute(f"PRAGMA key = \"x'{os.urandom(32).hex()}'\"")
    connection.execute("CREATE TABLE entry (number INTEGER PRIMARY KEY, bytes BLOB)")
    connection.execute("BEGIN")
    bodies = [body for _, body in side.desk.store.items(records.LETTERS)]
    connection.executemany("INSERT INTO entry VALUES (?, ?)", enumerate(bodies))
    connection.execute("COMMIT")
    yield lambda: connection.execute("SELECT number, bytes FROM entry ORDER BY number").fetchall()
    connection.close()


def _send(side: Side) -> None:
    side.write(prose("One more letter."))


def _list(folder: Path) -> None:
    common = ("--desk", str(folder / "anna"), "--passphrase-file", str(folder / "passphrase"))
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())) as out:
        assert main(("list", *common), edge=Home(folder).edge) == 0
        out.flush()
        assert out.buffer.tell() > LETTERS * 40


def _ratio(times: list[float], baseline: list[float]) -> str:
    ratios = sorted(one / other for one, other in zip(times, baseline, strict=True))
    return f"{statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})"


def _ms(times: list[float]) -> str:
    return f"{statistics.median(times) * 1000:,.1f} ms"


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    for claim, measured in run():
        print(f"{claim}: {measured}")
