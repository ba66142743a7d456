"""Arguments of a call that Vertex AI streams in pieces (`streamFunctionCallArguments`).

Each piece names a place by a JSON path and gives a value for it, strings possibly in several pieces; the object is
known when the call is closed (cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling).
"""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Raw

from gatewright.dialects.google.members import Members
from gatewright.wire.json_object import render_json

_STEP: Final = re.compile(r"""\.([^.\[]+)|\[(\d{1,4})\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]""")
_ESCAPE: Final = re.compile(r"\\(.)")


class PartialArguments:
    """The arguments of one call, while they come."""

    __slots__ = ("_leaves", "_whole")

    def __init__(self) -> None:
        self._leaves: dict[str, list[Any]] = {}
        self._whole: dict[str, Any] = {}

    def start_with(self, members: Any) -> None:
        """Take arguments that came whole."""
        if isinstance(members, dict):
            self._whole.update(members)

    def add(self, piece: Members) -> None:
        """Take one element of `partialArgs`."""
        path = piece.required_string("jsonPath")
        if _steps(path) is None:
            raise piece.error("jsonPath", "is no path that can be followed")
        values = self._leaves.setdefault(path, [])
        if piece.has("stringValue"):
            values.append(piece.string("stringValue"))
        elif piece.has("numberValue"):
            values.append(_whole(piece.number("numberValue")))
        elif piece.has("boolValue"):
            values.append(piece.boolean("boolValue"))
        elif piece.has("structValue") or piece.has("listValue"):
            values.append(piece.raw("structValue") or piece.raw("listValue"))
        elif not values:
            values.append(None)

    def text(self) -> str:
        """The object, as JSON."""
        root: dict[str, Any] = dict(self._whole)
        for path, values in self._leaves.items():
            strings = [value for value in values if isinstance(value, str)]
            _put(root, _steps(path) or [], "".join(strings) if strings else values[-1] if values else None)
        return bytes(render_json(root)).decode()


def _whole(number: float | None) -> float | int | None:
    return int(number) if number is not None and number.is_integer() and abs(number) < 2**53 else number


def _steps(path: str) -> list[str | int] | None:
    if not path.startswith("$"):
        return None
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None or len(steps) > 100:
            return None
        name, number, single, double = match.groups()
        if number is not None:
            steps.append(int(number))
        else:
            steps.append(name if name is not None else _ESCAPE.sub(r"\1", single if single is not None else double))
        at = match.end()
    return steps if steps and isinstance(steps[0], str) else None


def _put(root: dict[str, Any], steps: list[str | int], value: Any) -> None:
    here: Any = root
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        last = following is None
        if isinstance(step, int):
            if not isinstance(here, list):
                return
            here.extend([None] * (step + 1 - len(here)))
        elif not isinstance(here, dict):
            return
        if last:
            here[step] = value
            return
        wanted: type = list if isinstance(following, int) else dict
        known = here.get(step) if isinstance(here, dict) else here[step]
        if not isinstance(known, wanted):
            here[step] = known = wanted()
        here = known


def is_partial(call: Members) -> bool:
    """Whether a `functionCall` is a piece of one."""
    return call.peek("willContinue") == Raw(b"true") or call.has("partialArgs") or not call.has("name")
