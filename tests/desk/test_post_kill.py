"""A desk's process that is killed while it writes letters and exchanges files with its porter: nothing is lost."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backchannel.desk.records import Stage
from tests.desk.test_kill import REPOSITORY
from tests.desk.test_post import Tray, trays
from tests.desk.two_desks import Side, prose

# Goes on where the one before it was killed; says each letter that was sealed, and each locking that returned.
WRITER = """
import itertools, sys
from pathlib import Path
from backchannel.desk import post
from backchannel.post.ciphers import ReplyCipher
from tests.cli.stage import StageKem
from tests.desk.two_desks import ANNA, MIKHAIL, Side, prose
side = Side(Path(sys.argv[1]), ANNA, MIKHAIL, kem=StageKem())
def exchange(): assert not post.exchange(side.desk, now=side.now, cipher=ReplyCipher()).trouble
for at in itertools.count(int(sys.argv[2])):
    side.reopen()
    exchange()
    side.write(prose(f"letter {at}"))
    print("sealed", at, flush=True)
    exchange()
    print("locked", at, flush=True)
"""


def run(root: Path, begin: int, seconds: float) -> tuple[int, int]:
    """Let a writer write for so long after its first word, and kill it; the last sealed and the last locked."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", WRITER, str(root), str(begin)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root) as process:
        assert process.stdout is not None
        said = [process.stdout.readline()]
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        said += process.stdout.readlines()
    words = [line.split() for line in said if line.endswith("\n")]
    last = {kind: int(number) for kind, number in words}
    return last.get("sealed", begin - 1), last.get("locked", begin - 1)


class Town:
    """The test as the porter of one desk, and as its correspondent: every file that lies there it takes."""

    def __init__(self, anna: Tray, mikhail: Side) -> None:
        self.anna, self.mikhail = anna, mikhail
        self.taken: list[bytes] = []  # envelopes that the desk has listed
        self.told: dict[int, bytes] = {}  # the file that first had it → an envelope for the desk
        self.sent: list[str] = []

    def look(self) -> None:
        left = self.anna.left()  # the old file or the new one, and never a part of either
        self.taken += [envelope for _, envelope in left.envelopes if envelope not in self.taken]
        self.told = {number: envelope for number, envelope in self.told.items() if number > left.heard}
        text = f"to Anna {len(self.sent)}"
        entry = self.mikhail.write(prose(text))
        self.sent.append(text)
        self.told[self.anna.number + 1] = self.mikhail.envelope(entry.number)
        self.anna.say(*self.told.values(), heard=left.number)
        self.anna.side.close()


def texts(side: Side, *, outgoing: bool) -> list[str]:
    entries = [entry for entry in side.listing() if entry.outgoing == outgoing]
    return [side.desk.letter(entry).texts[0].paragraphs[1] for entry in entries]


def kill_and_look(root: Path, times: int) -> None:
    chance, begin = random.Random(11), 0
    with trays(root) as (anna, mikhail):
        town = Town(anna, mikhail.side)
        anna.exchange()
        anna.side.close()
        for _ in range(times):
            town.look()
            sealed, locked = run(root, begin, chance.uniform(0, 0.3))
            assert locked >= sealed - 1
            written = texts(anna.side, outgoing=True)
            assert f"letter {sealed}" in written or sealed < begin
            assert len(set(written)) == len(written)
            anna.side.desk.store.verify()
            anna.side.close()
            begin = max(sealed, int(written[-1].split()[1]) if written else -1) + 1
        town.look()
        anna.exchange()
        town.look()
        assert anna.stages() == [Stage.LEFT] * len(anna.stages())
        assert texts(anna.side, outgoing=False) == town.sent[:-1]
        for at in range(0, len(town.taken), 40):  # as many as a file takes
            (came,) = mikhail.hear(*town.taken[at : at + 40]).came
            assert len(came.opened.arrivals) == len(town.taken[at : at + 40])
        assert texts(mikhail.side, outgoing=False) == texts(anna.side, outgoing=True)
        assert begin > times


def test_a_desk_killed_at_any_moment_loses_nothing_that_it_or_its_porter_had(tmp_path: Path) -> None:
    kill_and_look(tmp_path, 4)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_desk_killed_many_times_loses_nothing_that_it_or_its_porter_had(tmp_path: Path) -> None:
    kill_and_look(tmp_path, 150)
