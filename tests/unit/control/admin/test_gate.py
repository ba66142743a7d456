"""The gate: hosts, keys, bodies, and how much at once; nobody who is not let in is listened to."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.control.admin_api import AdminApi

from gatewright.control.actor import Actor
from gatewright.control.admin import gate
from gatewright.control.admin.failures import MAX_FAILURES, WINDOW_S
from gatewright.control.admin.gate import MAX_BODY_BYTES, Recording
from gatewright.control.admin_keys import Role


def test_a_key_opens_the_gate_and_its_name_goes_with_it(api: AdminApi) -> None:
    answer = api.send("GET", "/budgets", role=Role.VIEWER)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not [name for name in answer.headers if name.startswith("access-control") or name == "set-cookie"]


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Basic {key}",
        "{key}",
        "Bearer {key}x",
        "Bearer  {key}",
        "Bearer {key} {key}",
    ],
)
def test_anything_else_is_unauthenticated(api: AdminApi, authorization: str) -> None:
    sent = authorization.replace("{key}", api.keys[Role.ADMIN])
    answer = api.send("GET", "/budgets", role=None, authorization=sent)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert "gwadm-" not in answer.text or "gwadm-…" in answer.text


def test_the_scheme_may_be_written_in_any_case(api: AdminApi) -> None:
    sent = f"bearer {api.keys[Role.ADMIN]}"
    assert api.send("GET", "/budgets", role=None, authorization=sent).status_code == 200


def test_two_authorizations_are_none(api: AdminApi) -> None:
    key = api.keys[Role.ADMIN]
    headers = [("authorization", f"Bearer {key}"), ("authorization", f"Bearer {key}")]
    assert api.client.get("/admin/v1/budgets", headers=headers).status_code == 401


def test_without_any_key_the_way_to_the_first_is_told(tmp_path: Path) -> None:
    with AdminApi.on_sqlite(tmp_path, with_keys=False) as api:
        for authorization in ("", "Bearer gwadm-aaaaaaaaaaaa-" + "x" * 43):
            status, problem = api.ask("GET", "/budgets", role=None, authorization=authorization)
            assert (status, problem["type"]) == (403, "urn:gatewright:problem:no-admin-key")
            assert "gatewright admin-keys create" in problem["detail"]


def test_where_every_key_was_revoked_the_way_back_is_told(tmp_path: Path) -> None:
    with AdminApi.on_sqlite(tmp_path) as api:
        for key in api.admin_keys.list():
            api.admin_keys.revoke(Actor("ops", "admin", "cli"), key.id, may_lock_out=True)
        status, problem = api.ask("GET", "/budgets")
        assert status == 403
        assert problem["detail"].startswith("there is no admin key that holds")


def test_who_shows_wrong_keys_must_wait_even_with_the_right_one(api: AdminApi) -> None:
    for _ in range(MAX_FAILURES):
        assert api.ask("GET", "/budgets", role=None, authorization="Bearer wrong")[0] == 401
    answer = api.send("GET", "/budgets")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= WINDOW_S
    api.clock.advance(WINDOW_S)
    assert api.ask("GET", "/budgets")[0] == 200


def test_a_request_without_a_key_is_no_guess(api: AdminApi) -> None:
    for _ in range(MAX_FAILURES + 1):
        assert api.ask("GET", "/budgets", role=None)[0] == 401
    assert api.ask("GET", "/budgets")[0] == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8081", 200), ("localhost", 200), ("[::1]:8081", 200), ("evil.example", 421), ("", 421)],
)
def test_a_name_that_anybody_could_point_here_is_not_answered(api: AdminApi, host: str, status: int) -> None:
    assert api.ask("GET", "/budgets", host=host)[0] == status
    assert api.client.get("/admin/openapi.json", headers={"host": host}).status_code == status


def test_configured_names_are_answered(tmp_path: Path) -> None:
    with AdminApi.on_sqlite(tmp_path, allowed_hosts=("admin.example.com",)) as api:
        assert api.ask("GET", "/budgets", host="admin.example.com:443")[0] == 200


def test_options_tells_what_is_offered_and_no_origin_is_let_in(api: AdminApi) -> None:
    sent = {"origin": "https://evil.example", "access-control-request-method": "DELETE"}
    answer = api.client.options("/admin/v1/budgets/b", headers=sent)
    assert (answer.status_code, answer.headers["allow"]) == (204, "DELETE, GET, OPTIONS, PUT")
    assert "access-control-allow-origin" not in answer.headers
    assert api.client.options("/admin/v1/nothing").status_code == 404
    assert api.send("PATCH", "/budgets").headers["allow"] == "GET, OPTIONS, POST"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"x" * (MAX_BODY_BYTES + 1), {}, 413),
        (b'"' + b"x" * (MAX_BODY_BYTES - 2) + b'"', {}, 400),
        (b"{}", {"content_encoding": "gzip"}, 415),
        (b"\xff\xfe", {}, 400),
        (b'{"name": "\xff"}', {}, 400),
        (b"[" * 200_000, {}, 400),
        (b'{"name":"b","config":' + b'{"x":' * 200 + b"1" + b"}" * 201, {}, 422),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, {}, 400),
        (b'{"name":"b","config":{"usd":1e999}}', {}, 400),
        (b"", {}, 400),
        (b"null", {}, 400),
        (b'{"name":"b","config":{"usd":1},"name":"c"}{}', {}, 400),
    ],
)
def test_bodies_that_cannot_be_read_are_refused(
    api: AdminApi, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert api.ask("POST", "/budgets", body, **headers)[0] == status
    assert api.ask("GET", "/budgets")[1]["items"] == []


def test_a_locked_database_is_told_and_found_again(api: AdminApi) -> None:
    with api.engine.begin() as connection:
        connection.execute(text("DELETE FROM budgets"))  # takes the lock for writing
        answer = api.send("POST", "/budgets", {"name": "b", "config": {"usd": 1}})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert api.ask("GET", "/budgets")[0] == 200, "readers wait for nobody"
    assert api.ask("POST", "/budgets", {"name": "b", "config": {"usd": 1}})[0] == 201


class Slow:
    """An application that answers when it is told to; `gate` calls it as ASGI."""

    def __init__(self) -> None:
        self.running = 0
        self.go_on = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.running += 1
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def test_requests_wait_for_a_slot_and_not_for_ever(api: AdminApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "WAIT_S", 0.05)
    statuses: list[int] = []

    async def ask(app: Any) -> None:
        headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {api.keys[Role.ADMIN]}".encode())]
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/admin/v1/budgets",
            "query_string": b"",
            "headers": headers,
            "client": ("192.0.2.1", 5),
        }

        async def receive() -> Any:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await app(scope, receive, send)

    async def run() -> None:
        slow = Slow()
        app = gate.Gate(slow, api.admin_keys, gate.AllowedHosts(), gate.Reporter(api.services.log), api.clock)  # type: ignore[arg-type]
        async with asyncio.TaskGroup() as tasks:
            holding = [tasks.create_task(ask(app)) for _ in range(gate.SLOTS)]
            while slow.running < gate.SLOTS:
                await asyncio.sleep(0)
            await ask(app)
            assert statuses == [503]
            slow.go_on.set()
        await ask(app)
        assert len(holding) == gate.SLOTS

    asyncio.run(run())
    assert statuses == [503] + [200] * (gate.SLOTS + 1)


def test_only_a_complete_success_is_recorded() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def give(status: int, *pieces: bytes, is_complete: bool = True) -> Recording:
        recording = Recording(send)
        await recording({"type": "http.response.start", "status": status, "headers": [(b"a", b"b")]})
        for number, piece in enumerate(pieces):
            more = not is_complete or number < len(pieces) - 1
            await recording({"type": "http.response.body", "body": piece, "more_body": more})
        return recording

    answer = asyncio.run(give(201, b"ab", b"cd")).answer()
    assert answer is not None
    assert (answer.status, answer.headers, answer.body) == (201, [(b"a", b"b")], b"abcd")
    assert asyncio.run(give(422, b"x")).answer() is None
    assert asyncio.run(give(201, b"x", is_complete=False)).answer() is None
    assert len(sent) == 7
