"""The demo's stage: a folder and processes, of which nothing is left at the end.

Whatever happens: an error, Ctrl-C however often, or SIGTERM. Only who is killed
outright leaves the folder, in memory where there is a file system in it; the
processes see that their standard input has ended, and end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from backchannel.errors import UnavailableError

STARTED: Final = 20.0  # seconds in which a process is to be ready
ENDED: Final = 3.0  # and to stop
ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ROOM: Final = 128 * 1024 * 1024  # bytes, more than all that the demo keeps


@dataclass(slots=True)
class Stage:
    """A folder, and processes that keep a log in it."""

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    cancel: Callable[[], object] | None = None  # what is to be done at Ctrl-C, if not to raise

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run *work*, which is cancelled at Ctrl-C; what it began has then ended."""

        async def cancellable() -> None:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            assert task is not None  # asyncio.run makes one
            self.cancel = partial(loop.call_soon_threadsafe, task.cancel)
            try:
                await work
            finally:
                self.cancel = None

        try:
            asyncio.run(cancellable())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None

    def start(self, name: str, command: Sequence[str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Ctrl-C is ours: they end when we let them.
                start_new_session=True,
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            )

    def wait_for(self, words: str) -> None:
        """Wait until each process has said *words*.

        Raises:
            UnavailableError: If one has ended, or does not say them in time.
        """
        for name, process in self.processes.items():
            log, patience = self.folder / f"{name}.log", STARTED
            while words not in log.read_text():
                if process.poll() is not None or patience <= 0:
                    said = log.read_text().splitlines() or ["it said nothing"]
                    raise UnavailableError(f"an operator of the demo does not start: {said[-1]}")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_PAUSE)
                patience -= _PAUSE

    def stop(self) -> None:
        """Let the processes end, or end them."""
        for process in self.processes.values():
            assert process.stdin is not None
            # At the end of its standard input each stops; all at once.
            process.stdin.close()
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(ENDED)
            process.kill()
            process.wait()

    def clear(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def cleared_stage(memory: Path | None) -> Iterator[Stage]:
    """A stage that is cleared whatever happens; in *memory*, if that has room."""
    room = memory is not None and shutil.disk_usage(memory).free > ROOM
    stage = Stage(Path(tempfile.mkdtemp(prefix="backchannel-demo-", dir=memory if room else None)))
    # Whoever ignores one, as nohup does, goes on ignoring it.
    before = {each: handler for each in ENDINGS if (handler := signal.getsignal(each)) is not signal.SIG_IGN}
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        # Once is enough: what is being cleared away is not to be left for the second.
        _set(dict.fromkeys(before, signal.SIG_IGN))
        if stage.cancel is None:
            raise KeyboardInterrupt
        stage.cancel()

    try:
        _set(dict.fromkeys(before, interrupt))
        yield stage
    finally:
        _set(dict.fromkeys(before, signal.SIG_IGN))
        stage.clear()
        # After an interruption there is nothing to be done but to end.
        if not interrupted:
            _set(before)


def free_ports(count: int) -> list[int]:
    """So many ports on which nobody listens."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _set(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


_PAUSE: Final = 0.02  # seconds
