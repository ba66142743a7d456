"""`Idempotency-Key`: a create that is sent twice, because its answer was lost, is made once and answered twice.

Answers are kept in the control process's memory, for as long as a client may sensibly try again, and for the admin key
that asked alone: an answer may hold a new key, which is shown to nobody else and written nowhere.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from gatewright.control.admin.problems import Problem

KEPT_S: Final = 600.0
MAX_KEPT: Final = 1_000
MAX_CHARACTERS: Final = 200

Headers = list[tuple[bytes, bytes]]


class Answer(Struct, frozen=True):
    """A finished answer."""

    status: int
    headers: Headers
    body: bytes


class _Kept(Struct):
    digest: bytes
    at: float
    answer: Answer | None = None
    """None while the first request is still carried out."""


class Answers:
    """The answers that are kept; `now` gives monotonic seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._kept: OrderedDict[tuple[str, ...], _Kept] = OrderedDict()

    def begin(self, place: tuple[str, ...], body: bytes) -> Answer | None:
        """The answer that was given already, or None: then carry the request out and call `finish`.

        `place` is the admin key, the method, the path and the idempotency key. Raises Problem where the key stands for
        another request, or for one that is still carried out.
        """
        if not place[-1].isprintable() or not 1 <= len(place[-1]) <= MAX_CHARACTERS:
            raise Problem("malformed-request", f"Idempotency-Key is 1 to {MAX_CHARACTERS} printable characters")
        self._forget()
        digest = hashlib.blake2b(body, digest_size=16).digest()
        kept = self._kept.get(place)
        if kept is None:
            self._kept[place] = _Kept(digest, self._now())
            return None
        if kept.digest != digest:
            raise Problem("conflict", "this Idempotency-Key was used for another request; take a new one")
        if kept.answer is None:
            raise Problem("conflict", "the first request with this Idempotency-Key is still carried out; try again")
        return kept.answer

    def finish(self, place: tuple[str, ...], answer: Answer | None) -> None:
        """Keep the answer; one of a failure (None) is not kept, so that the request may be tried again."""
        kept = self._kept.get(place)
        if answer is None or kept is None:
            self._kept.pop(place, None)
        else:
            kept.answer = answer

    def _forget(self) -> None:
        oldest = self._now() - KEPT_S
        while self._kept:
            first = next(iter(self._kept.values()))
            if first.at >= oldest and len(self._kept) < MAX_KEPT:
                return
            self._kept.popitem(last=False)
