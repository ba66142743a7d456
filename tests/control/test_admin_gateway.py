"""The admin API of a real gateway: the first key, a key that callers use at once, and files that stay the truth."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from gatewright.cli import main
from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

BODY = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}]}'


@pytest.fixture
def gateway() -> Iterator[GatewayProcess]:
    with ScriptedUpstream() as provider:
        config = {
            "providers": {
                "up": {"type": "openai_compatible", "url": provider.url, "headers": {"x-api-key": "hunter2"}}
            },
            "models": {"m": {"targets": [{"provider": "up", "model": "scripted-1"}]}},
            "anonymous": False,
        }
        with GatewayProcess(config) as running:
            yield running


def ask(address: tuple[str, int], method: str, path: str, body: object = None, key: str = "") -> tuple[int, Any]:
    content = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    connection = http.client.HTTPConnection(*address, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path, content, headers)
        answer = connection.getresponse()
        return answer.status, msgspec.json.decode(answer.read())


def test_from_the_first_admin_key_to_a_key_that_callers_use(
    gateway: GatewayProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    admin = gateway.admin_address
    gateway.wait_for(lambda: ask(admin, "GET", "/admin/v1/keys")[0] == 403, timeout_s=20)
    assert "admin-keys create" in ask(admin, "GET", "/admin/v1/keys")[1]["detail"]
    assert main.run(["admin-keys", "create", "alice", "--role", "admin", "--state", str(gateway.state)]) == 0
    key = capsys.readouterr().out.strip()

    status, made = ask(admin, "POST", "/admin/v1/keys", {"consumer": "acme/a/b"}, key)
    assert status == 201
    chat = ("POST", "/v1/chat/completions", BODY)
    gateway.wait_for(lambda: ask(gateway.address, *chat, key=made["text"])[0] == 200)
    assert ask(admin, "POST", f"/admin/v1/keys/{made['key']['id']}/revoke", None, key)[0] == 200
    gateway.wait_for(lambda: ask(gateway.address, *chat, key=made["text"])[0] == 401)

    gateway.wait_for(lambda: ask(admin, "GET", "/admin/v1/exchanges?consumer=acme/*&status=200", None, key)[1]["items"])
    status, shown = ask(admin, "GET", "/admin/v1/configuration", None, key)
    assert (status, shown["source"]) == (200, "files")
    assert "hunter2" not in shown["document"]
    candidate = {"document": shown["document"], "expected_version": 0}
    assert ask(admin, "POST", "/admin/v1/configuration/versions", candidate, key)[0] == 409
    assert ask(admin, "GET", "/admin/v1/audit/verify", None, key)[1]["ok"] is True
