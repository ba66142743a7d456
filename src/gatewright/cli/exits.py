"""How a command ends: the documented exit codes, and the exception that carries one with its message."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of every `gatewright` command."""

    OK = 0
    """Done."""
    FAILURE = 1
    """The command was right but could not be carried out: a port is taken, a download failed."""
    USAGE = 2
    """The command line or the configuration is wrong; nothing was started or changed."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C."""


class Failure(Exception):
    """An expected failure: `main` prints the message without a traceback and exits with the code."""

    def __init__(self, message: str, *, code: Exit = Exit.FAILURE, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        """What to do about it, printed on its own line."""
