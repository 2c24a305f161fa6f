"""Nothing secret stands in an argument, in the environment, on the terminal, or in a file that nobody named.

A real process on a real terminal, at the real cost of its passphrase: it makes
a desk, and writes a letter in an editor that looks around from where it is.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from backchannel.cli.edge import memory_folder

pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
if not Path("/proc/self/cmdline").exists() or memory_folder() is None:
    pytest.skip("this system has no /proc or no file system in memory", allow_module_level=True)

ROOT = Path(__file__).parents[1]
PASSPHRASE = "seven grey herons on the ice"
CORRESPONDENT = "Mikhail Orlov"
TEXT = "The weir at Kalm was closed on Sunday."
# The first terminal that the leader of a session opens is its /dev/tty.
PROGRAM = """
import os, sys
os.close(os.open(os.ttyname(2), os.O_RDWR))
from backchannel.cli import main
sys.exit(main(sys.argv[1:]))
"""
# An editor that writes a line, and notes what any process of this user could see meanwhile.
EDITOR = """
import json, os, sys
from pathlib import Path
letter = Path(sys.argv[1])
with letter.open("a") as file:
    file.write({text!r})
seen = {{"arguments": sys.argv, "environment": dict(os.environ), "letter": str(letter)}}
for who in ("self", os.getppid()):
    for what in ("cmdline", "environ"):
        seen[f"{{who}} {{what}}"] = Path(f"/proc/{{who}}/{{what}}").read_bytes().decode(errors="replace")
Path(os.environ["NOTES"]).write_text(json.dumps(seen))
"""


@dataclass
class Person:
    """Somebody at a terminal of their own, in a home of their own."""

    folder: Path
    shown: bytes = b""
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("home", "work", "tmp"):
            (self.folder / name).mkdir()
        editor = self.folder / "editor.py"
        editor.write_text(EDITOR.format(text=TEXT))
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        self.environment = kept | {
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "TERM": "xterm",
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "EDITOR": f"{sys.executable} {editor}",
            "NOTES": str(self.folder / "notes.json"),
        }

    def call(self, *arguments: str, typed: list[tuple[bytes, str]]) -> int:
        """Call the command line; after each of the prompts *typed* is typed."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            cwd=self.folder / "work",
            env=self.environment,
        )
        os.close(theirs)
        try:
            for prompt, answer in typed:
                self._wait_for(ours, prompt)
                os.write(ours, answer.encode() + b"\n")
            self._wait_for(ours, None)
            return process.wait(60)
        finally:
            process.kill()
            process.wait()
            os.close(ours)

    def _wait_for(self, terminal: int, prompt: bytes | None) -> None:
        deadline, before = time.monotonic() + 60, len(self.shown)
        while prompt is None or prompt not in self.shown[before:]:
            ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"not shown in time: {prompt!r} in {self.shown!r}"
            try:
                chunk = os.read(terminal, 4096)
            except OSError:  # the other end is closed: the process has ended
                chunk = b""
            if not chunk:
                assert prompt is None, f"never shown: {prompt!r} in {self.shown!r}"
                return
            self.shown += chunk

    def files(self) -> list[Path]:
        """All that lies at home, in the working folder and among the temporary files."""
        places = [self.folder / name for name in ("home", "work", "tmp")]
        return [path for place in places for path in sorted(place.rglob("*")) if path.is_file()]


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """Somebody who has made a desk, and a card, and written a draft."""
    person = Person(tmp_path_factory.mktemp("person"))
    again = [(b"ten words: ", PASSPHRASE), (b"again: ", PASSPHRASE)]
    assert person.call("init", typed=[(b"name? ", "Anna Reuter"), *again]) == 0, person.shown
    assert person.call("card", "--for", CORRESPONDENT, "-o", "a.card", typed=[(b"passphrase: ", PASSPHRASE)]) == 0
    # By a part of the name: an argument that a user gives is the user's to choose.
    assert person.call("write", "khail", typed=[(b"passphrase: ", PASSPHRASE)]) == 0, person.shown
    return person


def test_nothing_secret_is_in_an_argument_or_in_the_environment(person: Person) -> None:
    notes = json.loads((person.folder / "notes.json").read_text())
    seen = json.dumps(notes, ensure_ascii=False)
    assert notes["letter"].startswith("/dev/shm/")
    for secret in (PASSPHRASE, CORRESPONDENT, "Orlov", "Anna", TEXT):
        assert secret not in seen, secret


def test_the_editors_file_is_gone_with_its_folder(person: Person) -> None:
    letter = Path(json.loads((person.folder / "notes.json").read_text())["letter"])
    assert not letter.parent.exists()


def test_nothing_that_is_typed_unseen_is_shown(person: Person) -> None:
    assert b"draft 1 to Mikhail Orlov: 8 words" in person.shown
    assert PASSPHRASE.encode() not in person.shown
    assert b"heron" not in person.shown


def test_no_file_but_those_that_were_named_has_anything_to_read(person: Person) -> None:
    found = {path.relative_to(person.folder).as_posix() for path in person.files()}
    counters = {name for name in found if name.startswith("home/.local/state/backchannel/")}
    desk = "home/.local/share/backchannel/desk"
    assert found - counters == {
        *(f"{desk}/{name}" for name in ("desk.head", "desk.db", "desk.db-journal")),
        "work/a.card",
    }
    assert [(person.folder / name).stat().st_size for name in counters] == [32]
    secrets = [secret.encode() for secret in (PASSPHRASE, CORRESPONDENT, "Orlov", "Anna", "Reuter", TEXT, "weir")]
    for path in person.files():
        if path.name == "a.card":  # it bears both names: that is what it was made for
            continue
        # Names of files are to say nothing either.
        assert not any(secret in os.fsencode(path.name) for secret in secrets)
        data = path.read_bytes()
        assert [secret for secret in secrets if secret in data] == [], path.name
