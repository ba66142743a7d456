"""The admin listener's answers."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gatewright import __version__
from gatewright.control.app import build_app, with_admin
from gatewright.control.metrics import Exposition
from gatewright.core.messages import Status


class Empty(Collector):
    def collect(self) -> list[Metric]:
        return []


class Broken(Collector):
    def collect(self) -> list[Metric]:
        raise RuntimeError("secret detail")


READY = Status(4, 1, 1, [("worker-1", "ready", 7, 0)])


@pytest.fixture
def said() -> list[Status | None]:
    return [READY]


@pytest.fixture
def client(said: list[Status | None]) -> Iterator[TestClient[Litestar]]:
    with TestClient(build_app(lambda: said[0], Exposition(Empty()))) as client:
        yield client


def test_alive_as_long_as_it_answers(client: TestClient[Litestar], said: list[Status | None]) -> None:
    said[0] = None
    answer = client.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_ready_with_everything_there_is_to_know(client: TestClient[Litestar]) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "ready": True,
        "reasons": [],
        "version": 4,
        "workers": {"ready": 1, "wanted": 1},
        "refused_reload": "",
        "processes": [{"name": "worker-1", "state": "ready", "pid": 7, "restarts": 0}],
    }


def test_not_ready_is_503_with_reasons(client: TestClient[Litestar], said: list[Status | None]) -> None:
    said[0] = Status(4, 1, 0, [("worker-1", "waiting", 0, 2)])
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["0 of 1 workers are ready", "worker-1 is waiting"]


def test_version(client: TestClient[Litestar]) -> None:
    expected = {"name": "gatewright", "version": __version__, "python": platform.python_version()}
    assert client.get("/version").json() == expected


def test_metrics_have_one_charset(client: TestClient[Litestar]) -> None:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers.get_list("content-type") == ["text/plain; version=0.0.4; charset=utf-8"]


@pytest.mark.parametrize("path", ["/", "/metric", "/schema", "/schema/openapi.json", "/livez/x", "/..%2f"])
def test_everything_else_is_a_json_404(client: TestClient[Litestar], path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    error: dict[str, Any] = answer.json()["error"]
    assert error["status"] == 404
    assert "/readyz" in error["message"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/version", "/metrics"])
@pytest.mark.parametrize("status", [READY, None])
def test_head_answers_like_get_without_a_body(
    client: TestClient[Litestar], said: list[Status | None], path: str, status: Status | None
) -> None:
    said[0] = status
    full, bare = client.get(path), client.head(path)
    assert (bare.status_code, bare.content) == (full.status_code, b"")
    assert bare.headers == full.headers


def test_another_method_is_a_json_405(client: TestClient[Litestar]) -> None:
    answer = client.post("/metrics")
    assert (answer.status_code, answer.json()["error"]["status"]) == (405, 405)
    assert "GET" in answer.headers["allow"]


def test_a_defect_is_an_opaque_500() -> None:
    with TestClient(build_app(lambda: READY, Exposition(Broken())), raise_server_exceptions=False) as client:
        answer = client.get("/metrics")
    assert answer.status_code == 500
    assert "secret" not in answer.text


def test_while_there_is_no_admin_api_the_problem_has_the_form_of_all_others() -> None:
    plain = build_app(lambda: READY, Exposition(Empty()))
    both = TestClient(with_admin(plain, lambda: "the database is not open yet"))
    answer = both.get("/admin/v1/keys")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json() == {
        "type": "urn:gatewright:problem:unavailable",
        "title": "The admin API cannot answer now",
        "status": 503,
        "detail": "the database is not open yet",
    }
    assert both.get("/livez").status_code == 200
