"""`/budgets`: made, read, changed and removed."""

from __future__ import annotations

import msgspec
import pytest
from tests.control.admin_api import AdminApi

from gatewright.control.admin.app import build_admin
from gatewright.control.admin_keys import Role
from gatewright.telemetry.records import BudgetState

BUDGET = {"name": "monthly", "on": {"consumers": ["acme/*"]}, "config": {"usd": 500, "per": "month"}}


def test_a_budget_lives_through_its_life(api: AdminApi) -> None:
    status, made = api.ask("POST", "/budgets", BUDGET, role=Role.OPERATOR)
    assert (status, made["config"], made["state"]) == (201, BUDGET["config"], None)
    assert made["on"]["consumers"] == ["acme/*"]
    assert api.ask("GET", "/budgets/monthly", role=Role.VIEWER) == (200, made)
    assert api.ask("GET", "/budgets")[1]["items"] == [made]
    status, changed = api.ask("PUT", "/budgets/monthly", {"config": {"usd": 9}}, role=Role.OPERATOR)
    assert (status, changed["config"], changed["on"]["consumers"]) == (200, {"usd": 9}, [])
    assert api.ask("DELETE", "/budgets/monthly", role=Role.OPERATOR) == (204, None)
    assert api.ask("GET", "/budgets/monthly")[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/budgets", BUDGET, 409),
        ("POST", "/budgets", {**BUDGET, "name": "new", "config": {"usd": 0}}, 422),
        ("POST", "/budgets", {**BUDGET, "name": "a b"}, 400),
        ("POST", "/budgets", {**BUDGET, "name": "../etc"}, 400),
        ("POST", "/budgets", {**BUDGET, "name": ""}, 400),
        ("POST", "/budgets", {"name": "new"}, 400),
        ("POST", "/budgets", {**BUDGET, "filter": "x"}, 400),
        ("POST", "/budgets", [], 400),
        ("PUT", "/budgets/absent", {"config": {"usd": 1}}, 404),
        ("DELETE", "/budgets/absent", None, 404),
        ("GET", "/budgets/'%20OR%201=1", None, 400),
    ],
)
def test_what_is_wrong_changes_nothing(api: AdminApi, method: str, path: str, body: object, status: int) -> None:
    api.ask("POST", "/budgets", BUDGET)
    before = api.ask("GET", "/budgets")
    assert api.ask(method, path, body)[0] == status
    assert api.ask("GET", "/budgets") == before


def test_every_reason_is_told(api: AdminApi) -> None:
    status, problem = api.ask("POST", "/budgets", {"name": "b", "config": {"usd": -1, "colour": 1}})
    assert status == 422
    assert [reason["path"] for reason in problem["errors"]] == ["config.colour", "config.usd"]


def test_a_viewer_only_reads(api: AdminApi) -> None:
    for method, path, body in (
        ("POST", "/budgets", BUDGET),
        ("PUT", "/budgets/b", BUDGET),
        ("DELETE", "/budgets/b", 1),
    ):
        status, problem = api.ask(method, path, body, role=Role.VIEWER)
        assert (status, problem["type"]) == (403, "urn:gatewright:problem:forbidden")
        assert "operator" in problem["detail"]


def test_webhooks_are_for_admins(api: AdminApi) -> None:
    told = {**BUDGET, "config": {"usd": 1, "webhook": "${env:HOOK}"}}
    status, problem = api.ask("POST", "/budgets", told, role=Role.OPERATOR)
    assert (status, problem["type"]) == (403, "urn:gatewright:problem:forbidden")
    assert "role admin" in problem["detail"]
    status, made = api.ask("POST", "/budgets", told)
    assert (status, made["config"]["webhook"]) == (201, "${env:HOOK}")
    for method, body in (("PUT", {"config": {"usd": 2}}), ("DELETE", None)):
        assert api.ask(method, "/budgets/monthly", body, role=Role.OPERATOR)[0] == 403
    assert api.ask("GET", "/budgets/monthly")[1] == made


def test_nobodys_change_is_lost(api: AdminApi) -> None:
    made = api.send("POST", "/budgets", BUDGET)
    seen = made.headers["etag"]
    assert (made.status_code, api.send("GET", "/budgets/monthly").headers["etag"]) == (201, seen)
    first = api.send("PUT", "/budgets/monthly", {"config": {"usd": 1}}, if_match=seen)
    assert (first.status_code, first.headers["etag"] != seen) == (200, True)
    for method, body in (("PUT", {"config": {"usd": 2}}), ("DELETE", None)):
        status, problem = api.ask(method, "/budgets/monthly", body, if_match=seen)
        assert (status, problem["type"]) == (412, "urn:gatewright:problem:outdated")
        assert api.ask(method, "/budgets/monthly", body, if_match="W/" + first.headers["etag"])[0] == 412
    assert api.ask("GET", "/budgets/monthly")[1]["config"] == {"usd": 1}
    assert api.ask("PUT", "/budgets/monthly", {"config": {"usd": 2}}, if_match="*")[0] == 200
    assert api.ask("PUT", "/budgets/monthly", {"config": {"usd": 1}})[0] == 200
    several = f'"x", {first.headers["etag"]}'
    assert api.ask("DELETE", "/budgets/monthly", if_match=several)[0] == 204


@pytest.mark.parametrize("given", ["3", "", '"a" "b"', '"', '"a",'])
def test_an_if_match_that_is_none_is_told(api: AdminApi, given: str) -> None:
    api.ask("POST", "/budgets", BUDGET)
    status, problem = api.ask("PUT", "/budgets/monthly", {"config": {"usd": 2}}, if_match=given)
    assert (status, "If-Match" in problem["detail"]) == (422, True)


def test_what_is_spent_is_told_where_it_is_known(api: AdminApi) -> None:
    states = [
        BudgetState("monthly", "acme/a/b", "2026-11", 1_800_000_000.0, 500_000_000_000, 125_000_000_000),
        BudgetState("other", "x", "total", float("inf"), 1, 1),
    ]
    services = msgspec.structs.replace(api.services, budget_states=lambda: states)
    api.use(build_admin(services))
    api.ask("POST", "/budgets", BUDGET)
    (state,) = api.ask("GET", "/budgets/monthly")[1]["state"]
    assert state == {
        "who": "acme/a/b",
        "window": "2026-11",
        "ends_at": 1_800_000_000,
        "limit_usd": 500.0,
        "used_usd": 125.0,
    }


def test_pages_go_on_where_they_ended(api: AdminApi) -> None:
    for name in ("c", "a", "b"):
        api.ask("POST", "/budgets", {**BUDGET, "name": name})
    first = api.ask("GET", "/budgets?limit=2")[1]
    rest = api.ask("GET", f"/budgets?limit=2&cursor={first['next_cursor']}")[1]
    assert [budget["name"] for budget in (*first["items"], *rest["items"])] == ["a", "b", "c"]
    assert rest["next_cursor"] is None
