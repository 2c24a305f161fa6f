"""A place to run the command line in: a home, a folder, a clock, a generator, a terminal without a user.

Everything that an Edge brings is under the test's control, and cheap: the clock
moves when told, the generator is a stream from a seed, and keys are derived at
the least that Argon2id allows.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import resource
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backchannel.cli.app import main
from backchannel.cli.edge import Edge
from backchannel.kem import PrivateKey, PublicKey
from backchannel.keys import Cost, Random
from tests.simulation.seeded_kem import SeededKem

CHEAP = Cost(memory=64, passes=1, lanes=1)
STEP = 256 * 1024
START = int(datetime(2031, 10, 16, 9, 0, tzinfo=UTC).timestamp())
OUT, ERR = "out", "err"


class Generator:
    """Bytes from a seed, the same in every run."""

    def __init__(self, seed: str) -> None:
        self.seed = seed.encode()
        self.count = 0

    def __call__(self, size: int) -> bytes:
        self.count += 1
        return hashlib.shake_256(self.seed + self.count.to_bytes(8)).digest(size)


class StageKem(SeededKem):
    """The seeded KEM, with the product's types."""

    def generate(self, random: Random) -> tuple[PrivateKey, PublicKey]:
        private = PrivateKey.draw(random)
        return private, self.public(private)

    def public(self, private: bytes) -> PublicKey:
        return PublicKey(super().public(private))


@dataclass(frozen=True, slots=True)
class Result:
    """What a call did: its exit code, and what it wrote, in the order of writing."""

    code: int
    written: tuple[tuple[str, str], ...]

    @property
    def out(self) -> str:
        return "".join(text for stream, text in self.written if stream == OUT)

    @property
    def err(self) -> str:
        return "".join(text for stream, text in self.written if stream == ERR)


@dataclass
class Stage:
    """One home directory and whoever sits in front of it."""

    home: Path
    seed: str = "stage"
    time: int = START
    typed: deque[str] = field(default_factory=deque)  # answers to questions that are not echoed
    passphrase: str = ""  # the answer to such questions where none was given
    editor: str | None = None  # where there is one, somebody sits at the terminal
    limit: int | None = None  # the largest file that the disk takes, in bytes
    patch: pytest.MonkeyPatch | None = None
    town: Any = None  # the post office of a script (tests/cli/town.py)

    def __post_init__(self) -> None:
        self.random = Generator(self.seed)

    @property
    def edge(self) -> Edge:
        memory = self.home / "memory"
        memory.mkdir(parents=True, exist_ok=True)
        return Edge(
            now=lambda: self.time,
            clock=lambda: self.time * 1000,
            local=lambda seconds: datetime.fromtimestamp(seconds, UTC),
            random=self.random,
            kem=StageKem(),
            cost=CHEAP,
            words_cost=CHEAP,
            step=STEP,
            counters=self.home / "counters",
            desk=Path(os.environ.get("BACKCHANNEL_DESK") or self.home / "desk"),
            memory=memory,
            editor=self.editor or None,
            columns=lambda: 80,
            hidden=self._hidden,
        )

    def run(self, *arguments: str, stdin: str | bytes = "", hidden: Sequence[str] = ()) -> Result:
        """Run one call of the command line in this process."""
        self.typed = deque(hidden)
        written: list[tuple[str, str]] = []
        raw = stdin.encode() if isinstance(stdin, str) else stdin
        terminal = self.editor is not None and not raw
        with _streams(raw, written, terminal=terminal), _limited(self.limit):
            code = main(arguments, edge=self.edge)
        assert not self.typed, f"never asked for: {list(self.typed)}"
        return Result(code, tuple(written))

    def put(self, name: str, value: str) -> None:
        """Give the environment's variable *name* a *value*, or none."""
        assert self.patch is not None
        if value:
            self.patch.setenv(name, value)
        else:
            self.patch.delenv(name, raising=False)

    def _hidden(self, prompt: str) -> str | None:
        if not self.typed:
            return self.passphrase or None
        print(prompt, file=sys.stderr, flush=True)
        return self.typed.popleft()


def furnish(folder: Path, monkeypatch: pytest.MonkeyPatch, *, seed: str) -> Stage:
    """Make *folder* the working folder, with a home beside it and a plain environment."""
    for variable in ("BACKCHANNEL_DESK", "BACKCHANNEL_TRACEBACK", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("NO_COLOR", "EDITOR", "VISUAL"):
        monkeypatch.delenv(variable, raising=False)
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(work)
    return Stage(home, seed, patch=monkeypatch)


class _Recorder(io.BytesIO):
    """One output stream, which adds what is written to a list that both share."""

    def __init__(self, stream: str, written: list[tuple[str, str]]) -> None:
        super().__init__()
        self.stream = stream
        self.written = written

    def write(self, data: Any, /) -> int:
        if data:
            self.written.append((self.stream, bytes(data).decode()))
        return len(data)


class _Input(io.BytesIO):
    """Standard input, which may be a terminal."""

    def __init__(self, data: bytes, *, terminal: bool) -> None:
        super().__init__(data)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@contextlib.contextmanager
def _limited(size: int | None) -> Iterator[None]:
    """A disk on which no file becomes larger than *size*: what a full one does, for whoever writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, before if size is None else (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def _streams(stdin: bytes, written: list[tuple[str, str]], *, terminal: bool) -> Iterator[None]:
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(_Input(stdin, terminal=terminal), encoding="utf-8")
    # Written through, so that the two come in the order in which they were written.
    out = io.TextIOWrapper(_Recorder(OUT, written), encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(_Recorder(ERR, written), encoding="utf-8", write_through=True)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield
            out.flush()
            err.flush()
    finally:
        sys.stdin = before
