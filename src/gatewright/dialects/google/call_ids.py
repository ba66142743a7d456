"""Ids of tool calls, which this API may leave out: calls and results then belong together by name and order.

An id is made up where there is none, always the same for the same call: from the response's id and the call's number
in an answer, from the call's place in the conversation in a request. It is known by its form, so it never reaches an
upstream of this API, which would not know it; ids of other makers are written, since the servers take any.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

_PREFIX: Final = "gwcall_"
_MADE_UP: Final = re.compile(rf"{_PREFIX}[0-9a-f]{{24}}")


def make_id(*where: object) -> str:
    """The id of the call that stands at `where`; letters, digits and `_`, short enough for every API."""
    spelled = "\0".join(map(str, where)).encode("utf-8", "replace")
    return _PREFIX + blake2b(spelled, digest_size=12).hexdigest()


def is_made_up(call_id: str) -> bool:
    """Whether `make_id` made this id."""
    return _MADE_UP.fullmatch(call_id) is not None


class CallIds:
    """The ids of the calls in a request's conversation, read in order."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []
        self._is_answering = False

    def call(self, call_id: str | None, name: str, content: int, part: int) -> str:
        """The id of the call `name` that is this part of this content."""
        if self._is_answering:
            # Calls of an earlier step that nobody answered are past: a result cannot mean them any more.
            self._open, self._is_answering = [], False
        found = call_id or make_id("request", content, part, name)
        self._open.append((found, name))
        return found

    def result(self, call_id: str | None, name: str, content: int, part: int) -> str:
        """The id of the call that a result answers: its own word, else the first open call of that name."""
        self._is_answering = True
        for index, (known, known_name) in enumerate(self._open):
            if known == call_id if call_id else known_name == name:
                del self._open[index]
                return known
        return call_id or make_id("result", content, part, name)
