"""The gate before the admin API: who may ask at all, how much at once, and how large.

It stands before the framework, so that nothing of a stranger's request is parsed: first the Host, then the admin key,
then the body. Threads are few and shared with the rest of the control process, so requests wait for one of `SLOTS`; a
database that hangs makes the admin API slow, and never the metrics and probes beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from math import ceil
from typing import Any, Final, cast

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import HTTPScope, Message, Receive, Scope, Send

from gatewright.control.actor import Actor
from gatewright.control.admin.failures import Failures
from gatewright.control.admin.hosts import AllowedHosts
from gatewright.control.admin.idempotency import Answer, Answers
from gatewright.control.admin.problems import MEDIA_TYPE, RETRY_AFTER_S, Problem, Reporter, methods_at
from gatewright.control.admin_keys import AdminKey, AdminKeys

PREFIX: Final = "/admin"
OPENAPI_PATH: Final = "/admin/openapi.json"
MAX_BODY_BYTES: Final = 8 * 1024 * 1024
SLOTS: Final = 4
"""Requests that are worked on at once."""
WAIT_S: Final = 5.0
"""How long a request waits for a slot."""
BODY_S: Final = 30.0
"""How long a body may take."""
_NO_KEY: Final = "there is no admin key that holds; make one with: gatewright admin-keys create NAME --role admin"
_BEARER: Final = {"www-authenticate": "Bearer"}
_HEADERS: Final = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
"""Of every answer: it is for whoever asked, and for nobody's browser to make something else of."""


class Gate:
    """An ASGI application before another, the admin API."""

    def __init__(
        self, app: Litestar, keys: AdminKeys, hosts: AllowedHosts, reporter: Reporter, now: Callable[[], float]
    ) -> None:
        self._app, self._keys, self._hosts, self._reporter = app, keys, hosts, reporter
        self._failures = Failures(now)
        self._answers = Answers(now)
        self._slots = asyncio.Semaphore(SLOTS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return

        request = scope
        has_begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        try:
            await self._admit(request, receive, send_with_headers)
        except Exception as error:
            # The border of the admin API: whatever it is becomes a problem.
            if has_begun:
                raise
            problem = self._reporter.problem_of(error, request["method"], request["path"])
            await _send_problem(problem, send_with_headers)

    async def _admit(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or not self._hosts.is_allowed(hosts[0]):
            raise Problem("unknown-host", "use the listener's address in numbers, localhost, or a configured name")
        if scope["path"] == OPENAPI_PATH:
            await self._app(scope, receive, send)
            return
        if scope["method"] == "OPTIONS":
            await self._tell_methods(scope["path"], send)
            return
        address = scope["client"][0] if scope["client"] else ""
        key = await self._recognise(scope, address)
        state = scope.setdefault("state", {})
        state["actor"] = Actor(f"{key.name} ({key.id})", key.role.value, f"api {address}")
        body = await _read_body(scope, receive)
        once = _values(scope, b"idempotency-key")
        if once and scope["method"] == "POST":
            await self._serve_once((key.id, scope["method"], scope["path"], once[0]), scope, body, receive, send)
        else:
            await self._serve(scope, body, receive, send)

    async def _tell_methods(self, path: str, send: Send) -> None:
        methods = methods_at(self._app, path)
        if not methods:
            raise Problem("not-found", "there is nothing at this path")
        await _send(204, [(b"allow", ", ".join(sorted(methods)).encode())], b"", send)

    async def _recognise(self, scope: HTTPScope, address: str) -> AdminKey:
        wait_s = self._failures.wait_s(address)
        if wait_s > 0:
            headers = {"retry-after": str(ceil(wait_s))}
            raise Problem("too-many-failures", "this address showed too many wrong admin keys", headers=headers)
        given = _values(scope, b"authorization")
        scheme, _, text = (given[0] if len(given) == 1 else "").partition(" ")
        is_bearer = scheme.lower() == "bearer"
        async with self._slot():
            key = await asyncio.to_thread(self._keys.recognise, text if is_bearer else "")
            if key is not None:
                return key
            if not await asyncio.to_thread(self._keys.has_any):
                raise Problem("no-admin-key", _NO_KEY)
        if not is_bearer:
            raise Problem("unauthenticated", "send an admin key: `Authorization: Bearer gwadm-…`", headers=_BEARER)
        self._failures.add(address)
        raise Problem("unauthenticated", "this admin key is unknown, expired or revoked", headers=_BEARER)

    async def _serve_once(
        self, place: tuple[str, ...], scope: HTTPScope, body: bytes, receive: Receive, send: Send
    ) -> None:
        known = self._answers.begin(place, scope["query_string"] + b"\0" + body)
        if known is not None:
            headers = [*known.headers, (b"idempotency-replayed", b"true")]
            await _send(known.status, headers, known.body, send)
            return
        kept = Recording(send)
        try:
            await self._serve(scope, body, receive, kept)
        finally:
            self._answers.finish(place, kept.answer())

    async def _serve(self, scope: HTTPScope, body: bytes, receive: Receive, send: Send) -> None:
        is_given = False

        async def give_body() -> Any:
            nonlocal is_given
            if is_given:
                return await receive()
            is_given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async with self._slot():
            await self._app(scope, give_body, send)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            await asyncio.wait_for(self._slots.acquire(), WAIT_S)
        except TimeoutError:
            headers = {"retry-after": str(RETRY_AFTER_S)}
            raise Problem("unavailable", "too many requests wait for the database", headers=headers) from None
        try:
            yield
        finally:
            self._slots.release()


class Recording:
    """Passes an answer on and keeps it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._status, self._headers, self._body = 0, list[tuple[bytes, bytes]](), bytearray()
        self._is_complete = False

    async def __call__(self, message: Message) -> None:
        """One message of ASGI."""
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], list(message["headers"])
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            self._is_complete = not message.get("more_body", False)
        await self._send(message)

    def answer(self) -> Answer | None:
        """The answer, when it is complete and something was done."""
        if not self._is_complete or not 200 <= self._status < 300:
            return None
        return Answer(self._status, self._headers, bytes(self._body))


async def _read_body(scope: HTTPScope, receive: Receive) -> bytes:
    """The whole body. Raises Problem for one that is too large, too slow, or coded."""
    if any(value.strip().lower() != "identity" for value in _values(scope, b"content-encoding")):
        raise Problem("unsupported-media-type", "bodies with a content-encoding are not read; send it plainly")
    lengths = _values(scope, b"content-length")
    if lengths and lengths[0].isdecimal() and int(lengths[0][:20]) > MAX_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Problem("malformed-request", "the client left before its body was complete")
                body += message.get("body", b"")
                if len(body) > MAX_BODY_BYTES:
                    raise _too_large()
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise Problem("request-timeout", f"the body took more than {BODY_S:.0f} seconds") from None


def _too_large() -> Problem:
    return Problem("too-large", f"a body has at most {MAX_BODY_BYTES >> 20} MiB", headers={"connection": "close"})


def _values(scope: HTTPScope, name: bytes) -> Sequence[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


async def _send_problem(problem: Problem, send: Send) -> None:
    headers = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    await _send(problem.status, [(b"content-type", MEDIA_TYPE.encode()), *headers], problem.body(), send)


async def _send(status: int, headers: list[tuple[bytes, bytes]], body: bytes, send: Send) -> None:
    rest = [(name, value) for name, value in headers if name != b"content-length"]
    length = [(b"content-length", str(len(body)).encode())] if status != 204 else []
    await send(cast("Message", {"type": "http.response.start", "status": status, "headers": [*rest, *length]}))
    await send(cast("Message", {"type": "http.response.body", "body": body, "more_body": False}))
