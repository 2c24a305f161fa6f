"""Processes that are killed while two desks write to each other: no letter is lost, none sealed twice."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.desk.history import Post, Watch, answer, card, compare, complete, says, tidy
from tests.simulation.crash import unsynced

REPOSITORY = Path(__file__).parents[2]

# Goes on where the one before it was killed; says what was sealed, what was packed, and each step that returned.
WRITER = """
import itertools, sys
from pathlib import Path
from backchannel import pouch as pouches
from backchannel.seal import ratchet
from tests.desk.history import Post, destroy, pack, send, unpack, write
post = Post(Path(sys.argv[1]))
begin = int(sys.argv[2])
seal, bag = ratchet.write, pouches.pack
def say(*words): print(*words, flush=True)
def sealing(state, item, **rest):
    after, envelope = seal(state, item, **rest)
    say("sealed", ratchet.digest(envelope).hex(), f"{after.role}:{after.tx.turn}:{after.tx.n}")
    return after, envelope
def packing(envelopes, key, draw):
    say("packed", *(ratchet.digest(one).hex() for one in envelopes))
    return bag(envelopes, key, draw)
ratchet.write, pouches.pack = sealing, packing
for at in itertools.count(begin):
    turn, step = divmod(at, 8)
    one, other = ("anna", "mikhail")[:: 1 if turn % 3 else -1]
    text, name = f"letter {turn}", f"{turn:05}.pouch"
    steps = (write(one, text), send(one, text), pack(one, name), unpack(other, name),
             write(other, "to " + text), send(other, "to " + text), pack(other, "r" + name), unpack(one, "r" + name))
    steps[step](post)
    say("done", at)
"""


def run(root: Path, begin: int, seconds: float, watch: Watch) -> int:
    """Let a writer write for so long after its first step, and kill it; the step to go on with."""
    command = [sys.executable, "-c", WRITER, str(root), str(begin)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root) as process:
        assert process.stdout is not None
        said = [process.stdout.readline()]
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        said += process.stdout.readlines()
    for line in said:
        kind, *words = line.split() if line.endswith("\n") else ("cut off",)
        if kind == "sealed":
            role, turn, n = map(int, words[1].split(":"))
            watch.places[bytes.fromhex(words[0])] = b"", role, turn, n
        elif kind == "packed":
            watch.packed.append(set(map(bytes.fromhex, words)))
        elif kind == "done":
            begin = int(words[0]) + 1
    return begin


def kill_and_look(root: Path, times: int) -> None:
    chance, watch, begin = random.Random(5), Watch(), 0
    post = Post(root)
    with unsynced():
        post.create()
        for step in (
            card("anna", "first.card", 1), answer("mikhail", "first.card", "answer.card", 1),
            complete("anna", "answer.card", 1), compare,
        ):  # fmt: skip
            step(post)
        post.close()
    for _ in range(times):
        begin = run(root, begin, chance.uniform(0, 0.35), watch)
        with unsynced():
            look(post, begin)
        watch.check()
    assert begin > 4 * times


def look(post: Post, begin: int) -> None:
    """Everything of which a step had returned is there, once, at both desks."""
    sealed = {text for turn in range(begin // 8 + 1) for text in texts(turn, begin)}
    for side in post.sides:
        assert not side.desk.restored
        side.desk.store.verify()
        written = [says(side, entry) for entry in side.listing() if entry.outgoing]
        came = [says(side, entry) for entry in side.listing() if not entry.outgoing]
        assert len(set(written)) == len(written)
        assert len(set(came)) == len(came)
        sealed -= set(written)
    assert not sealed, "lost"
    tidy(post)
    post.close()


def texts(turn: int, begin: int) -> set[str]:
    """The letters of *turn* that were sent before step *begin*."""
    return {text for text, step in ((f"letter {turn}", 1), (f"to letter {turn}", 5)) if 8 * turn + step < begin}


def test_processes_killed_at_any_moment_lose_no_letter_and_seal_none_twice(tmp_path: Path) -> None:
    kill_and_look(tmp_path, 4)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_many_processes_killed_at_any_moment_lose_no_letter_and_seal_none_twice(tmp_path: Path) -> None:
    kill_and_look(tmp_path, 150)
