"""What the resources share: parameters, pages, guards, and the failures that each may answer with."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

import msgspec
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter
from msgspec import Struct
from msgspec.structs import astuple

from gatewright.control.admin.problems import MEDIA_TYPE, TITLES, Problem, ProblemDetails
from gatewright.control.admin_keys import Role

T = TypeVar("T")

PLAIN: Final = r"^[^\x00-\x1f\x7f]*$"
"""Text that every database can store and every terminal can show."""
MAX_SAFE: Final = 2**53 - 1
"""The largest whole number that every reader of JSON takes exactly."""

Limit = Annotated[int, QueryParameter(ge=1, le=500, description="How many to give at most.")]
# Bounds inside an optional type would be left out of the document, so what is not given has a value of its own.
Cursor = Annotated[
    str, QueryParameter(max_length=2_000, description="`next_cursor` of the page before: goes on behind it.")
]
Since = Annotated[int, QueryParameter(ge=0, le=MAX_SAFE, description="From this time on, in Unix microseconds.")]
Until = Annotated[int, QueryParameter(ge=0, le=MAX_SAFE, description="Before this time, in Unix microseconds.")]
EVER: Final = MAX_SAFE
"""A time that is never reached: until then, everything."""

_ALWAYS: Final = (400, 401, 403, 421, 422, 429, 503)
"""What every operation may answer with. 400 is for what this document rules out, 422 for what only its meaning does."""
_NOT_IN_QUERY: Final = frozenset({"services", "actor", "data", "request"})


def text(max_length: int, description: str, *, name: str | None = None) -> QueryParameter:
    """A parameter of the query that is text; `name` is what it is called there, where Python cannot."""
    return QueryParameter(name=name, max_length=max_length, pattern=PLAIN, description=description)


def responses(*statuses: int) -> dict[int, ResponseSpec]:
    """The failures of an operation, for OpenAPI: those that every one has, and these."""
    return {status: _RESPONSES[status] for status in sorted({*_ALWAYS, *statuses})}


def _describe(status: int) -> str:
    return "; ".join(f"{title} (`{kind}`)" for kind, (of, title) in TITLES.items() if of == status)


_RESPONSES: Final = {
    status: ResponseSpec(ProblemDetails, generate_examples=False, description=_describe(status), media_type=MEDIA_TYPE)
    for status in {status for status, _ in TITLES.values()}
}


class Needs:
    """A guard: the admin key must have this role, or one above it."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """Let the request pass, or raise Problem. Not in a thread of its own, which it would be if it were plain."""
        has = Role(connection.scope["state"]["actor"].role)
        if not has.includes(self.role):
            raise Problem("forbidden", f"this needs the role {self.role.value}; the admin key has the role {has.value}")


def needs(role: Role) -> Needs:
    """The guard for a role; of several on the way to an operation the highest decides."""
    return Needs(role)


async def only_known_query(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard: a filter that is misspelt must not list everything, as if it had been no filter."""
    parameters = handler.parsed_fn_signature.parameters
    names = parameters.keys() - _NOT_IN_QUERY - connection.path_params.keys()
    known = {query for name in names if (query := _query_name(name, parameters[name].kwarg_definition))}
    for name in connection.query_params:
        if name not in known:
            offered = f"there are {', '.join(sorted(known))}" if known else "there are none here"
            raise Problem("malformed-request", f"unknown parameter in the query: {name[:100]!r}; {offered}")


def _query_name(name: str, definition: object) -> str | None:
    """What a parameter of a handler is called in the query; None for one that is a header."""
    if isinstance(definition, HeaderParameter):
        return None
    return (isinstance(definition, QueryParameter) and definition.name) or name


def cut(found: list[T], limit: int, place: Callable[[T], Any]) -> tuple[list[T], str | None]:
    """The items of a page and its `next_cursor`, of what was found when one more than the limit was asked for.

    `place` gives what the next page goes on behind.
    """
    page = found[:limit]
    return page, render_cursor(place(page[-1])) if len(found) > limit else None


def render_cursor(place: Any) -> str:
    """Where a page ended, as text that clients give back as it is."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def parse_cursor(cursor: str, type_: type[T]) -> T | None:
    """Where the page before ended. Raises Problem for what was never given out."""
    if not cursor:
        return None
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = msgspec.json.decode(data, type=type_)
        if not all(_fits(part) for part in (astuple(place) if isinstance(place, Struct) else (place,))):
            raise ValueError(cursor)
        return place
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise Problem("unacceptable", "`cursor` is not one that was given out here; begin without it") from None


def _fits(part: object) -> bool:
    """Whether the database can be asked for it: numbers have no bound in JSON."""
    return not isinstance(part, int) or 0 <= part <= MAX_SAFE
