"""From what is said about a caller to its consumer, by a template over claims.

What comes out is always `organisation/team/application`, each of plain characters. A claim's value fills a place inside
one segment and can never add another, so whoever chooses their own user or group name cannot choose a consumer with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from gatewright.core.errors import GatewayError, Kind

Facts = Mapping[str, Any]
"""Claims, or the facts of a certificate, by name."""
Steps = tuple[str | int, ...]
"""The way to a value inside them."""
MapFacts = Callable[[Facts], str]
"""Facts to a consumer path. Raises GatewayError when they do not give a valid one."""

MISSING: Final = object()
"""What `find_claim` gives for a claim that is not there; null counts as not there."""

_SEGMENT: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,128}\Z")
_LITERAL: Final = re.compile(r"[A-Za-z0-9._-]*\Z")
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_:-]*"
_FIRST: Final = re.compile(rf'({_NAME})|\["([^"\\]+)"\]')
_NEXT: Final = re.compile(rf'\.({_NAME})|\["([^"\\]+)"\]|\[(\d{{1,4}})\]')
_PLACE: Final = re.compile(r"\$\{([^{}]*)\}")
_SEGMENTS: Final = 3


def parse_claim(text: str) -> Steps:
    """The way to a claim: `azp`, `groups[0]`, `realm_access.roles`, `["https://acme.example/team"]`.

    Raises ValueError.
    """
    match = _FIRST.match(text)
    if match is None:
        raise ValueError(f'`{text}` is no claim; write a name, as in `azp`, `groups[0]`, `org.team` or `["any name"]`')
    steps: list[str | int] = [match[1] or match[2]]
    while match.end() < len(text):
        match = _NEXT.match(text, match.end())
        if match is None:
            raise ValueError(f'`{text}` is no claim; write `name`, `name[0]`, `name.inner` or `["any name"]`')
        steps.append(int(match[3]) if match[3] else match[1] or match[2])
    return tuple(steps)


def find_claim(facts: Facts, steps: Steps) -> Any:
    """The value at the end of the way, or MISSING."""
    value: Any = facts
    for step in steps:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else MISSING
        else:
            value = value.get(step, MISSING) if isinstance(value, Mapping) else MISSING
    return MISSING if value is None else value


def compile_template(text: str) -> MapFacts:
    """`acme/${groups[0]}/${azp}` as a function. Raises ValueError with a message for the operator."""
    pieces = _PLACE.split(text)
    literals, places = pieces[::2], pieces[1::2]
    if any("$" in literal or "{" in literal or "}" in literal for literal in literals):
        raise ValueError("a claim is written as `${name}`, with both braces")
    segments = "".join(f"{literal}\0" for literal in literals)[:-1].split("/")
    if len(segments) != _SEGMENTS or not all(segments):
        raise ValueError("must have three parts, as `acme/${groups[0]}/${azp}`: organisation/team/application")
    for segment in segments:
        if not _LITERAL.match(segment.replace("\0", "")):
            raise ValueError("outside of `${…}` only letters, digits, dots, dashes and underscores may stand")
    claims = [(place, parse_claim(place)) for place in places]

    def evaluate(facts: Facts) -> str:
        values = iter([_place_text(name, find_claim(facts, steps)) for name, steps in claims])
        return "/".join(_checked(re.sub("\0", lambda _: next(values), segment), text) for segment in segments)

    return evaluate


def check_path(value: object) -> str:
    """What an expression gave, as a consumer path. Raises GatewayError when it is none."""
    segments = value.split("/") if isinstance(value, str) else []
    if len(segments) != _SEGMENTS:
        raise _refusal("What your credential says leads to no consumer here (three parts, separated by slashes).")
    for segment in segments:
        _checked(segment, "")
    return "/".join(segments)


def _place_text(name: str, value: object) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is MISSING:
        raise _refusal(f"Your credential does not say `{name}`, by which this gateway tells who you are.")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 1 << 63 else ""
    if not isinstance(value, str):
        raise _refusal(f"Your credential's `{name}` is not one text, so this gateway cannot tell who you are.")
    if not _LITERAL.match(value) or not value:
        raise _refusal(
            f"Your credential's `{name}` holds characters that no consumer's name here may hold: only letters, digits, "
            "dots, dashes and underscores."
        )
    return value


def _checked(segment: str, template: str) -> str:
    if _SEGMENT.match(segment) is None:
        where = f" (`{template}`)" if template else ""
        raise _refusal(f"What your credential says gives no valid name of a consumer here{where}.")
    return segment


def _refusal(message: str) -> GatewayError:
    # 403, not 401: the credential is genuine, and another log-in would not help.
    return GatewayError(Kind.FORBIDDEN, message)
