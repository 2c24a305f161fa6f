"""Running an operator: its folder, its machine, the network and the clock together.

    asyncio.run(run(Folder(path), edge, charter=Path("office.charter"), listen=("127.0.0.1", 8443), stop=event))

While not all have signed there is nothing to serve; a charter that follows is
adopted while rounds go on, as soon as it is in the folder with all signatures.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from backchannel.errors import BackchannelError, UnavailableError, UsageError
from backchannel.office.clock import Clock
from backchannel.office.edge import Edge
from backchannel.office.folder import Folder, Running, read_charter
from backchannel.office.peers import Peers
from backchannel.office.service import Limits, Service, address
from backchannel.post.charter import SignedCharter
from backchannel.post.rounds import Operator

WATCHED: Final = 1.0  # seconds between two looks at the charter files


async def run(
    folder: Folder,
    edge: Edge,
    *,
    charter: Path | None = None,
    listen: tuple[str, int] = ("127.0.0.1", 8025),
    stop: asyncio.Event,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),  # noqa: T201
    limits: Limits | None = None,
) -> None:
    """Serve until *stop* is set; what is worth a line of the log goes to *say*.

    Raises:
        UnavailableError: If another process serves this operator, or the address is taken.
        UsageError: If there is neither a charter nor one adopted.
    """
    asyncio.get_running_loop().set_exception_handler(lambda _, context: say(_fault(context)))
    keys = folder.keys()
    for path in folder.open_to_others():
        say(f"others can read {path}")
    with folder.serving(), folder.shelf() as shelf:
        machine = Operator(shelf, keys, edge.ciphers, random=edge.random)
        watch = Watch(folder, machine, charter, say=say)
        if not await watch.begun(stop):
            return
        service = Service(machine, edge.now, say=say, limits=limits)
        server = await service.listen(*listen)
        listening = address(*server.sockets[0].getsockname()[:2])

        def note() -> None:
            number = machine.charter_at(edge.now()).round_at(edge.now())
            clocks = tuple(sorted(machine.clocks.items()))
            with contextlib.suppress(UnavailableError):
                folder.run(Running(edge.now(), max(number + 1, 0), listening, clocks))

        note()
        say(f"{machine.name} serves on {listening}")
        watching = asyncio.create_task(watch.go_on(stop))
        try:
            async with server, Peers(machine, edge.now) as peers:
                await Clock(machine, peers, edge.now, say=say, each=note).run(stop)
                # A server waits for its connections, and one may wait for an instant that is a round away.
                service.close()
        finally:
            watching.cancel()
            service.close()
        say(f"{machine.name} has stopped")


class Watch:
    """The charter files, and what becomes of them."""

    def __init__(self, folder: Folder, machine: Operator, given: Path | None, *, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._machine = machine
        self._given = given
        self._say = say
        self._said = ""
        self._seen: object = None  # of the files, as they were looked at last

    async def begun(self, stop: asyncio.Event) -> bool:
        """Wait until there is a charter that all have signed; whether there is one, or *stop* was set."""
        while True:
            self._look()
            if self._machine.charters:
                return True
            if self._given is None and not self._folder.charters():
                raise UsageError("there is no charter yet", hint="backchannel-operator serve office.charter")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), WATCHED)
            if stop.is_set():
                return False

    async def go_on(self, stop: asyncio.Event) -> None:
        """Look for charters that follow."""
        while not stop.is_set():
            await asyncio.sleep(WATCHED)
            self._look()

    def _look(self) -> None:
        seen = self._folder.charter_files(), _stamp(self._given)
        # Each signature is checked when a file is read: once is enough.
        if seen == self._seen:
            return
        self._seen = seen
        try:
            named = self._given and self._folder.keep(read_charter(self._given))
            # The first is the one that was named: others in the folder may be drafts that were dropped.
            charters = [named] if named and not self._machine.charters else self._folder.charters()
        except BackchannelError as error:
            if not self._machine.charters and self._given is not None:
                raise
            self._put_off(error)
            return
        for signed in sorted(charters, key=lambda each: each.charter.numbers.first):
            self._consider(signed)

    def _consider(self, signed: SignedCharter) -> None:
        known = [each.charter.digest for each in self._machine.charters]
        if signed.charter.digest in known or (known and signed.charter.predecessor != known[-1]):
            return
        missing = signed.missing
        if missing:
            seats = len(signed.charter.seats)
            self._once(f"{seats - len(missing)} of {seats} have signed; waiting for {', '.join(missing)}")
            return
        try:
            self._machine.adopt(signed)
        except BackchannelError as error:
            if not known:
                raise
            self._put_off(error)
            return
        self._seen = None  # one that follows it may be there already
        self._say(f"charter {signed.charter.name} holds from round {signed.charter.numbers.first:,}")

    def _put_off(self, error: BackchannelError) -> None:
        """Say what is in the way; a disk that is full may not be so the next time."""
        self._once(error.message)
        if isinstance(error, UnavailableError):
            self._seen = None

    def _once(self, line: str) -> None:
        if line != self._said:
            self._said = line
            self._say(line)


def _stamp(path: Path | None) -> object:
    try:
        status = path.stat() if path is not None else None
    except OSError:
        return None
    return status and (status.st_mtime_ns, status.st_size, status.st_ino)


def _fault(context: dict[str, Any]) -> str:
    """A fault of ours, by its type alone: its text may hold what was being worked on."""
    error = context.get("exception")
    return f"a fault of backchannel itself: {type(error).__name__}" if error else str(context.get("message"))
