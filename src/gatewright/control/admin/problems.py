"""Every failure of the admin API in one form: `application/problem+json` (RFC 9457).

Whatever a service, the framework or the database raises becomes a problem here. What is not foreseen is answered by an
opaque 500, and its cause goes to the log.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.routes import HTTPRoute
from litestar.types.internal_types import PathParameterDefinition
from msgspec import Struct
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gatewright.config.problems import ConfigError
from gatewright.control.refusals import ChangeRefused, Conflict, Forbidden, NotFound, Outdated, Unacceptable
from gatewright.telemetry.log import Log

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 2
"""When to come back to a database that is away or busy."""

TITLES: Final[dict[str, tuple[int, str]]] = {
    "malformed-request": (400, "The request is malformed"),
    "unauthenticated": (401, "An admin key is needed"),
    "forbidden": (403, "The admin key's role does not allow this"),
    "no-admin-key": (403, "There is no admin key that holds"),
    "not-found": (404, "There is no such thing"),
    "method-not-allowed": (405, "The method is not offered here"),
    "request-timeout": (408, "The request did not arrive in time"),
    "conflict": (409, "The state does not allow this"),
    "outdated": (412, "It was changed meanwhile"),
    "too-large": (413, "The body is too large"),
    "unsupported-media-type": (415, "The body has another type than is read here"),
    "unknown-host": (421, "The Host header names another server"),
    "unacceptable": (422, "What was given is wrong"),
    "precondition-required": (428, "Say which version was seen"),
    "too-many-failures": (429, "Too many wrong admin keys"),
    "internal": (500, "The control process failed on this"),
    "unavailable": (503, "The admin API cannot answer now"),
}
"""Every kind of problem: its status, and its title."""
_OF_STATUS: Final = {
    400: "malformed-request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
}
_OF_REFUSAL: Final[tuple[tuple[type[ChangeRefused], str], ...]] = (
    (NotFound, "not-found"),
    (Conflict, "conflict"),
    (Forbidden, "forbidden"),
    (Outdated, "outdated"),
    (Unacceptable, "unacceptable"),
)


class Reason(Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong."""

    message: str
    """What is wrong, and what to write instead."""
    path: str = ""
    """Where: a member of the body, a parameter, or a path in the configuration."""
    line: int | None = None
    """The line of the configuration document, from 1."""


class ProblemDetails(Struct, frozen=True, omit_defaults=True):
    """Why a request was not carried out (RFC 9457)."""

    type: str
    """The kind of problem, as `urn:gatewright:problem:not-found`."""
    title: str
    """The same in words."""
    status: int
    """The status of the answer."""
    detail: str
    """What it is here, and how to mend it."""
    errors: list[Reason] = []
    """Every reason, where there may be several."""


class Problem(Exception):
    """A request that is not carried out; `kind` is one of `TITLES`."""

    def __init__(
        self, kind: str, detail: str, errors: Sequence[Reason] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self._title = TITLES[kind]
        self._kind, self._detail, self._errors = kind, detail, list(errors)
        self.headers = dict(headers or {})

    def details(self) -> ProblemDetails:
        """What is told to the client."""
        kind = f"urn:gatewright:problem:{self._kind}"
        return ProblemDetails(kind, self._title, self.status, self._detail, self._errors)

    def body(self) -> bytes:
        """The same as JSON."""
        return msgspec.json.encode(self.details())


class Reporter:
    """Makes a problem of every exception; causes that are the gateway's own go to its log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def respond(self, request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        """The answer for an exception of a handler."""
        problem = self.problem_of(error, request.method, request.url.path)
        if problem.status == 405:
            problem.headers["allow"] = ", ".join(sorted(methods_at(request.app, request.url.path)))
        return Response(problem.body(), status_code=problem.status, media_type=MEDIA_TYPE, headers=problem.headers)

    def problem_of(self, error: Exception, method: str, path: str) -> Problem:
        """The problem for any exception."""
        match error:
            case Problem():
                return error
            case ChangeRefused():
                return _of_refusal(error)
            case HTTPException() if error.status_code in _OF_STATUS:
                return _of_http(error)
            case RecursionError():
                return Problem("malformed-request", "the body is nested too deeply")
            case UnicodeError() | DataError():
                return Problem("malformed-request", "a text holds what cannot be stored, such as a NUL character")
            case DBAPIError() | PoolTimeout():
                self._log.warning("admin API without its database", error=_cause_of(error), method=method, path=path)
                detail = "the database is away or busy; what the gateway serves does not depend on it"
                return Problem("unavailable", detail, headers={"retry-after": str(RETRY_AFTER_S)})
        trace = "".join(traceback.format_exception(error)[-6:])
        self._log.error("admin API failed", error=type(error).__name__, method=method, path=path, trace=trace)
        return Problem("internal", "this is a defect of gatewright; its log has the cause")


def methods_at(app: Litestar, path: str) -> set[str]:
    """What is offered at a path (RFC 9110 §15.5.6 wants it told); the framework does not say, or only in part."""
    parts = [part for part in path.split("/") if part]
    routes = (route for route in app.routes if isinstance(route, HTTPRoute))
    return {method for route in routes if _fits(route.path_components, parts) for method in route.methods}


def _fits(components: Sequence[str | PathParameterDefinition], parts: Sequence[str]) -> bool:
    takes_rest = bool(components) and not isinstance(components[-1], str) and components[-1].type is Path
    if len(parts) < len(components) if takes_rest else len(parts) != len(components):
        return False
    return all(not isinstance(wanted, str) or wanted == part for wanted, part in zip(components, parts, strict=False))


def reasons_of(errors: Sequence[ConfigError]) -> list[Reason]:
    """Errors of a configuration for the client; a file's name only where it is one."""
    return [Reason(error.message, error.path, error.line) for error in errors]


def _of_refusal(error: ChangeRefused) -> Problem:
    kind = next((kind for type_, kind in _OF_REFUSAL if isinstance(error, type_)), "conflict")
    errors = reasons_of(error.errors) if isinstance(error, Unacceptable) else []
    return Problem(kind, error.message, errors)


def _of_http(error: HTTPException) -> Problem:
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        reasons = [_reason_of(entry) for entry in error.extra if isinstance(entry, dict)]
        return Problem("malformed-request", "some of what was given is wrong", reasons)
    detail = {404: "there is nothing at this path; /admin/openapi.json tells what there is"}.get(error.status_code)
    return Problem(_OF_STATUS[error.status_code], detail or error.detail or "the request is malformed")


def _reason_of(entry: Mapping[str, Any]) -> Reason:
    return Reason(str(entry.get("message", "")), str(entry.get("key", "")).rstrip("_"))


def _cause_of(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(cause).split())[:500]
