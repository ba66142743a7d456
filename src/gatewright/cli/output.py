"""What commands print, and how: for people on a terminal, plain text in a pipe, JSON when asked.

Results go to standard output, everything else (notes, errors) to standard error, so a pipe carries results alone.
Rich is not imported here: it costs 50 ms, which `gatewright version` and every failure would pay; `cli.tables` has it.
"""

from __future__ import annotations

import sys
from typing import Any, TextIO

import msgspec

from gatewright.config.problems import InvalidConfig

_RED, _DIM, _END = "\x1b[1;31m", "\x1b[2m", "\x1b[0m"


def is_terminal() -> bool:
    """Whether standard output is read by a person."""
    return sys.stdout.isatty()


def print_line(text: str) -> None:
    """One line of a result."""
    print(text)


def print_json(value: Any) -> None:
    """A result as indented JSON with a final newline."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_note(text: str) -> None:
    """A remark for people, on standard error."""
    print(text, file=sys.stderr)


def print_failure(message: str, hint: str | None = None) -> None:
    """Why a command failed, on standard error."""
    print(f"{_paint('error:', _RED, sys.stderr)} {message}", file=sys.stderr)
    if hint:
        print(f"{_paint('hint:', _DIM, sys.stderr)}  {hint}", file=sys.stderr)


def print_config_errors(refused: InvalidConfig) -> None:
    """Every reason a configuration was refused, one line each as `file:line: path: message`, on standard error."""
    for error in refused.errors:
        print(error, file=sys.stderr)
    count = len(refused.errors)
    print_failure(f"the configuration has {count} problem{'s' if count != 1 else ''}; nothing was started or changed")


def _paint(text: str, code: str, stream: TextIO) -> str:
    return f"{code}{text}{_END}" if stream.isatty() else text
