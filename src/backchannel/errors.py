"""The exceptions of Backchannel, sorted by fault.

Each carries one line for a person and, where there is one, a hint: a command
that can be run as it stands. Neither ever holds a secret, or the text of a
letter. What an error costs the caller is its class: the command line turns
each into one exit code (docs/using/command-line.md).
"""

from __future__ import annotations

from typing import ClassVar


class BackchannelError(Exception):
    """Any refusal this package makes on purpose."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NegativeError(BackchannelError):
    """The answer to what was asked is no: the words differ, there is no such letter."""


class UsageError(BackchannelError):
    """The caller asked for something that does not make sense."""

    exit_code = 2


class UnavailableError(BackchannelError):
    """Not now: the desk is open elsewhere, the disk is full, an answer is still awaited."""

    exit_code = 3


class RefusedError(BackchannelError):
    """Backchannel will not do this, because it would harm the one who asks."""

    exit_code = 4


class MalformedError(RefusedError):
    """Bytes from outside are not an encoding of anything."""


class VerificationError(RefusedError):
    """Bytes from outside parse, and are not what they claim to be."""


class LockedError(BackchannelError):
    """The desk does not open: no passphrase, the wrong one, or a damaged desk."""

    exit_code = 5
