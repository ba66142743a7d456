"""Ids of tool calls for dialects that may leave them out: calls and results then belong together by name and order.

An id is made up where there is none, always the same for the same call: from the response's id and the call's number
in an answer, from the call's place in the conversation in a request. It is known by its form, so no dialect that can
do without ids writes it to an upstream, which would not know it.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

_PREFIX: Final = "gwcall_"
_MADE_UP: Final = re.compile(rf"{_PREFIX}[0-9a-f]{{24}}")


def make_call_id(*where: object) -> str:
    """The id of the call that stands at `where`; letters, digits and `_`, short enough for every API."""
    spelled = "\0".join(map(str, where)).encode("utf-8", "replace")
    return _PREFIX + blake2b(spelled, digest_size=12).hexdigest()


def is_made_up(call_id: str) -> bool:
    """Whether `make_call_id` made this id."""
    return _MADE_UP.fullmatch(call_id) is not None


class OpenCalls:
    """The calls of a request's conversation that still wait for their results, read in order."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []
        self._is_answering = False

    def made(self, call_id: str, name: str) -> None:
        """The next call."""
        if self._is_answering:
            # Calls of an earlier step that nobody answered are past: a result cannot mean them any more.
            self._open, self._is_answering = [], False
        self._open.append((call_id, name))

    def answered(self, call_id: str | None, name: str | None) -> str | None:
        """The id of the call that a result answers: its own word, else the first open call of that name, or of any."""
        self._is_answering = True
        for index, (known, known_name) in enumerate(self._open):
            if known == call_id if call_id else name in (None, known_name):
                del self._open[index]
                return known
        return call_id or None
