"""The admin API from outside: on a real listener, on both databases, under injections, and without its database."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import uvicorn
from sqlalchemy import Engine, event
from tests.control.admin_api import GOOD, AdminApi
from tests.unit.control.test_exchanges import add

from gatewright.control.admin_keys import Role
from gatewright.control.app import build_app, with_admin
from gatewright.control.audit import verify
from gatewright.control.metrics import Exposition, GatewayCollector
from gatewright.control.totals import Totals
from gatewright.testing.client import RawClient

pytestmark = pytest.mark.sockets

INJECTIONS = [
    "' OR '1'='1",
    "'; DROP TABLE audit; --",
    '" OR ""="',
    "%",
    "_",
    "\\",
    "a' UNION SELECT digest FROM admin_keys --",
    "$1",
    ":name",
    "?",
    "x\r\nset-cookie: a=b",
    "\x00",
    "\u202e",
    "\ud7ff\U0010ffff",
    "../../etc/passwd",
    "${env:HOME}",
    "${file:/etc/passwd}",
    "{{7*7}}",
    "9" * 40,
    "-1",
    "NaN",
]
LISTS = (
    ("/keys", ("consumer", "search", "state", "cursor", "limit")),
    ("/consumers", ("search", "cursor")),
    ("/budgets", ("cursor",)),
    ("/exchanges", ("id", "consumer", "key_id", "model", "surface", "kind", "status", "since_us", "cursor")),
    ("/usage", ("by", "consumer", "model", "provider", "upstream_model", "since", "order", "format")),
    ("/audit", ("subject", "action", "by", "until_us", "cursor")),
    ("/audit/verify", ("number", "hash")),
    ("/configuration/versions", ("cursor",)),
    ("/configuration/diff", ("old", "new")),
)


@pytest.fixture
def api(database: Engine) -> Iterator[AdminApi]:
    api = AdminApi(database)
    with api.client:
        yield api


def test_injections_into_every_parameter_find_nothing_and_break_nothing(api: AdminApi) -> None:
    api.ask("POST", "/keys", {"consumer": "acme/a/b"})
    add(api.engine, 1)
    for path, names in LISTS:
        for name in names:
            for injection in INJECTIONS:
                answer = api.client.get(
                    f"/admin/v1{path}",
                    params={name: injection},
                    headers={"authorization": f"Bearer {api.keys[Role.ADMIN]}"},
                )
                assert answer.status_code in (200, 400, 404, 422), (path, name, injection, answer.text)
                assert "set-cookie" not in answer.headers
                if answer.status_code == 200 and path in ("/keys", "/exchanges", "/consumers") and name != "limit":
                    assert answer.json()["items"] == [], (path, name, injection)
    assert verify(api.engine).problems == ()
    assert len(api.ask("GET", "/keys")[1]["items"]) == 1


def test_injections_into_every_body_are_kept_literally_or_refused(api: AdminApi) -> None:
    kept = []
    for number, injection in enumerate(INJECTIONS):
        name = f"b{number}"
        body = {"name": name, "on": {"models": [injection]}, "config": {"usd": 1, "per": injection}}
        status, made = api.ask("POST", "/budgets", body)
        assert status in (201, 400, 422), (injection, made)
        if status == 201:
            read = api.ask("GET", f"/budgets/{name}")[1]
            assert (read["on"]["models"], read["config"]["per"]) == ([injection], injection)
            kept.append(name)
        for path, more in (("/keys", {"consumer": "a/b/c"}), ("/consumers", {"path": f"a/b/c{number}"})):
            status, made = api.ask("POST", path, {**more, "name": injection})
            assert status in (201, 400, 422), (path, injection, made)
        status, made = api.ask("POST", "/admin-keys", {"name": injection, "role": "viewer"})
        assert status in (201, 400, 422), (injection, made)
        status, made = api.ask("POST", "/configuration/versions", {"document": injection, "expected_version": 0})
        assert status in (400, 422), (injection, made)
    assert kept
    assert verify(api.engine).problems == ()


@pytest.mark.parametrize("header", ["authorization", "idempotency-key", "if-match", "x-request-id", "user-agent"])
def test_injections_into_headers(api: AdminApi, header: str) -> None:
    document = {"document": GOOD, "expected_version": 5}
    for injection in INJECTIONS:
        value = injection.encode().replace(b"\r\n", b" ").replace(b"\x00", b"")
        sent = {"authorization": f"Bearer {api.keys[Role.ADMIN]}".encode(), header: value}
        headers = [(name.encode(), text) for name, text in sent.items()]
        answer = api.client.post("/admin/v1/configuration/versions", json=document, headers=headers)
        assert answer.status_code in (400, 401, 412, 422, 429), (injection, answer.text)
        api.clock.advance(100)
    assert verify(api.engine).problems == ()


def test_a_whole_administration_on_either_database(api: AdminApi) -> None:
    assert api.ask("POST", "/consumers", {"path": "acme/a/b", "details": {"owner": "ada"}})[0] == 201
    key = api.ask("POST", "/keys", {"consumer": "acme/a/b"})[1]["key"]
    assert api.ask("POST", f"/keys/{key['id']}/rotate", {"overlap_s": 0})[0] == 201
    assert api.ask("POST", "/budgets", {"name": "b", "config": {"usd": 1}})[0] == 201
    assert api.ask("POST", "/configuration/versions", {"document": GOOD}, if_match='"0"')[0] == 201
    assert api.ask("POST", "/consumers/acme/a/b/suspend")[0] == 200
    states = {found["state"] for found in api.ask("GET", "/keys?consumer=acme/a/b")[1]["items"]}
    assert states == {"suspended", "expired"}
    assert api.ask("DELETE", "/consumers/acme/a/b")[0] == 204
    for path in ("/usage?by=day", "/usage?format=focus", "/exchanges", "/configuration/versions"):
        assert api.send("GET", path).status_code == 200, path
    assert api.ask("GET", "/audit/verify")[1]["ok"] is True


class Listener:
    """An admin listener on a real socket, in a thread with a loop of its own."""

    def __init__(self, app: Any) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._socket.getsockname()
        config = uvicorn.Config(app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False)
        self._server = uvicorn.Server(config)
        self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*self.address, timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()


@pytest.fixture
def listener(api: AdminApi) -> Iterator[Listener]:
    collector = GatewayCollector(Totals(), lambda: None, lambda: 0, lambda: 0)
    with Listener(with_admin(build_app(lambda: None, Exposition(collector)), lambda: api.app)) as listener:
        yield listener


def test_a_database_that_hangs_holds_up_neither_metrics_nor_probes(api: AdminApi, listener: Listener) -> None:
    key = {"authorization": f"Bearer {api.keys[Role.ADMIN]}"}
    hanging, go_on = threading.Semaphore(0), threading.Event()

    @event.listens_for(api.engine, "before_cursor_execute")
    def hang(*_: Any) -> None:
        hanging.release()
        go_on.wait(20)

    statuses: list[int] = []
    callers = [
        threading.Thread(target=lambda: statuses.append(listener.get("/admin/v1/budgets", **key)[0])) for _ in range(12)
    ]
    for caller in callers:
        caller.start()
    try:
        for _ in range(4):
            assert hanging.acquire(timeout=10)
        for path in ("/livez", "/metrics", "/version"):
            assert listener.get(path)[0] == 200, path
        assert not statuses
    finally:
        go_on.set()
        for caller in callers:
            caller.join()
        event.remove(api.engine, "before_cursor_execute", hang)
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 4


def test_a_database_that_is_gone_is_told_and_nothing_else_fails(api: AdminApi, listener: Listener) -> None:
    key = {"authorization": f"Bearer {api.keys[Role.ADMIN]}"}

    @event.listens_for(api.engine, "before_cursor_execute")
    def fail(connection: Any, *_: Any) -> None:
        raise api.engine.dialect.loaded_dbapi.OperationalError("server closed the connection unexpectedly")

    try:
        for path in ("/admin/v1/budgets", "/admin/v1/audit"):
            status, body = listener.get(path, **key)
            assert status == 503, body
            assert msgspec.json.decode(body)["type"] == "urn:gatewright:problem:unavailable"
        assert listener.get("/metrics")[0] == 200
        assert listener.get("/admin/openapi.json")[0] == 200
    finally:
        event.remove(api.engine, "before_cursor_execute", fail)
    assert listener.get("/admin/v1/budgets", **key)[0] == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /admin/v1/budgets HTTP/1.1\r\nhost: evil.example\r\n\r\n", 421),
        (b"GET /admin/v1/budgets HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n", 421),
        (b"GET /admin/v1/budgets HTTP/1.0\r\n\r\n", 421),
        (b"GET /admin/v1/budgets HTTP/1.1\r\nhost: localhost\r\n\r\n", 401),
        (b"GET http://evil.example/admin/v1/budgets HTTP/1.1\r\nhost: localhost\r\n\r\n", 401),
        (b"GET /admin%2Fv1/budgets HTTP/1.1\r\nhost: localhost\r\n\r\n", 401),
        (b"GET /admin/v1/budgets HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer \xff\xfe\r\n\r\n", 401),
        (b"POST /admin/v1/keys HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n", 401),
        (b"GET /%61dmin/v1/budgets HTTP/1.1\r\nhost: localhost\r\n\r\n", 401),
    ],
)
def test_odd_requests_on_the_wire_get_no_further(listener: Listener, head: bytes, status: int) -> None:
    with RawClient(listener.address) as client:
        client.send(head)
        assert client.receive().status == status


def test_a_body_beyond_the_limit_is_refused_before_it_is_sent(api: AdminApi, listener: Listener) -> None:
    head = f"POST /admin/v1/keys HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {api.keys[Role.ADMIN]}\r\n"
    with RawClient(listener.address) as client:
        client.send(head.encode() + b"content-length: 9000000\r\n\r\n")
        assert client.receive().status == 413
