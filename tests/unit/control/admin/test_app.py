"""The admin API beside the probes: each has its paths, and every operation is guarded."""

from __future__ import annotations

import pytest
from litestar.routes import HTTPRoute
from litestar.testing import TestClient
from tests.control.admin_api import AdminApi

from gatewright.control.admin.app import build_resources
from gatewright.control.admin.problems import Reporter
from gatewright.control.admin_keys import Role
from gatewright.control.app import build_app, with_admin
from gatewright.control.metrics import Exposition, GatewayCollector
from gatewright.control.totals import Totals

CHANGING = ("POST", "PUT", "PATCH", "DELETE")


def operations(api: AdminApi) -> list[tuple[str, str]]:
    """Every operation with a path that could be one."""
    app = build_resources(lambda: api.services, Reporter(api.services.log))
    found = []
    for route in app.routes:
        if isinstance(route, HTTPRoute) and route.path_format.startswith("/admin/v1"):
            path = route.path_format.removeprefix("/admin/v1").replace("{version}", "1")
            found += [(method, path.replace("{", "").replace("}", "")) for method in route.methods - {"OPTIONS"}]
    return sorted(found)


def test_there_are_many_operations(api: AdminApi) -> None:
    assert len(operations(api)) > 30


def test_no_operation_answers_without_a_key(api: AdminApi) -> None:
    for method, path in operations(api):
        assert api.ask(method, path, role=None)[0] == 401, (method, path)
        api.clock.advance(100)


def test_a_viewer_changes_nothing_wherever_it_tries(api: AdminApi) -> None:
    for method, path in operations(api):
        status = api.ask(method, path, {} if method in CHANGING else None, role=Role.VIEWER)[0]
        if method in CHANGING or path.startswith("/admin-keys"):
            assert status == 403, (method, path)
        else:
            assert status in (200, 400, 404), (method, path)
    assert len(api.ask("GET", "/audit")[1]["items"]) == 3, "the keys of the test, and nothing else"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/version", "/metrics"])
def test_probes_and_metrics_are_as_before(api: AdminApi, path: str) -> None:
    collector = GatewayCollector(Totals(), lambda: None, lambda: 0, lambda: 0)
    plain = build_app(lambda: None, Exposition(collector))
    both = with_admin(plain, lambda: api.app)
    with TestClient(plain) as before:
        one = before.get(path)
    with TestClient(both, base_url="http://evil.example") as after:
        other = after.get(path)
    assert (one.status_code, one.content) == (other.status_code, other.content)


@pytest.mark.parametrize(
    ("path", "is_admin"),
    [("/admin", True), ("/admin/v1/budgets", True), ("/admin/", True), ("/administration", False), ("/x/admin", False)],
)
def test_only_paths_below_admin_go_there(api: AdminApi, path: str, is_admin: bool) -> None:
    collector = GatewayCollector(Totals(), lambda: None, lambda: 0, lambda: 0)
    both = with_admin(build_app(lambda: None, Exposition(collector)), lambda: api.app)
    with TestClient(both, base_url="http://127.0.0.1") as client:
        assert client.get(path).status_code == (401 if is_admin else 404)
