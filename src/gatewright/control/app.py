"""The admin listener's HTTP side: `/livez`, `/readyz`, `/version` and `/metrics`, and beside them the admin API under
`/admin`; everything else is a JSON 404.

The probes and metrics are for a private network: they ask for no key, have no secrets to show and change nothing.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any, Final, cast

from litestar import HttpMethod, Litestar, MediaType, Request, Response, route
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, Scope, Send

from gatewright import __version__
from gatewright.control.admin.gate import PREFIX
from gatewright.control.admin.problems import MEDIA_TYPE, Problem
from gatewright.control.health import Readiness, judge
from gatewright.control.metrics import Exposition
from gatewright.core.messages import Status

_NO_STORE: Final = {"cache-control": "no-store"}
_METHODS: Final = (HttpMethod.GET, HttpMethod.HEAD)
"""A probe that wants no body asks by HEAD; the server leaves the body away by itself."""


def build_app(status: Callable[[], Status | None], exposition: Exposition) -> Litestar:
    """The application; `status` gives the supervisor's last word."""

    @route("/livez", http_method=_METHODS, sync_to_thread=False)
    def livez() -> Response[dict[str, str]]:
        """200 for as long as the process answers at all."""
        return Response({"status": "alive"}, headers=_NO_STORE)

    @route("/readyz", http_method=_METHODS, sync_to_thread=False)
    def readyz() -> Response[Readiness]:
        """200 when requests are served, 503 when not; the body says why."""
        readiness = judge(status())
        return Response(readiness, status_code=200 if readiness.ready else 503, headers=_NO_STORE)

    @route("/version", http_method=_METHODS, sync_to_thread=False)
    def version() -> Response[dict[str, str]]:
        """Version of the gateway and of its Python."""
        return Response({"name": "gatewright", "version": __version__, "python": platform.python_version()})

    @route("/metrics", http_method=_METHODS, sync_to_thread=False)
    def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Prometheus text, or OpenMetrics when asked for."""
        body, content_type = exposition.render(request.headers.get("accept", ""))
        # Given as a header, since Litestar adds a charset to every media type of text, to one that has it too.
        return Response(body, media_type=MediaType.JSON, headers={**_NO_STORE, "content-type": content_type})

    return Litestar(
        [livez, readyz, version, metrics],
        openapi_config=None,
        logging_config=None,
        exception_handlers={HTTPException: _render_error, Exception: _render_defect},
    )


def with_admin(app: ASGIApp, admin: Callable[[], ASGIApp | str]) -> ASGIApp:
    """The same with the admin API under `/admin`; while there is none, `admin` says why, and callers get 503."""

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        is_admin = scope["type"] == ScopeType.HTTP and (scope["path"] + "/").startswith(f"{PREFIX}/")
        chosen = admin() if is_admin else app
        if isinstance(chosen, str):
            await _send_unavailable(send, chosen)
        else:
            await chosen(scope, receive, send)

    return cast(ASGIApp, dispatch)


async def _send_unavailable(send: Send, reason: str) -> None:
    problem = Problem("unavailable", reason)
    body = problem.body()
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"retry-after", b"1"),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _render_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    known = "/livez, /readyz, /version, /metrics"
    message = f"nothing is at {request.url.path}; there are {known}" if error.status_code == 404 else error.detail
    return _response(error.status_code, message, error.headers)


def _render_defect(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    return _response(500, "the control process failed on this; its log has the cause", None)


def _response(status: int, message: str, headers: dict[str, str] | None) -> Response[dict[str, Any]]:
    body = {"error": {"status": status, "message": message}}
    return Response(body, status_code=status, media_type=MediaType.JSON, headers={**(headers or {}), **_NO_STORE})
