"""`/consumers`: kept, suspended and removed."""

from __future__ import annotations

import pytest
from tests.control.admin_api import AdminApi

from gatewright.control.admin_keys import Role

PATH = "/consumers/acme/search/indexer"


def test_a_consumer_lives_through_its_life(api: AdminApi) -> None:
    body = {"path": "acme/search/indexer", "name": "Indexer", "details": {"owner": "ada"}}
    status, made = api.ask("POST", "/consumers", body, role=Role.OPERATOR)
    assert (status, made["details"]) == (201, {"owner": "ada"})
    assert api.ask("GET", PATH, role=Role.VIEWER) == (200, made)
    assert api.ask("PATCH", PATH, {"name": "Other"})[1] == {**made, "name": "Other"}
    assert api.ask("POST", f"{PATH}/suspend")[1]["suspended_at"] == int(api.clock())
    assert api.ask("POST", f"{PATH}/resume")[1]["suspended_at"] is None
    assert api.ask("DELETE", PATH) == (204, None)
    assert api.ask("GET", PATH)[0] == 404


def test_all_keys_of_a_suspended_consumer_are_suspended(api: AdminApi) -> None:
    api.ask("POST", "/consumers", {"path": "acme/search/indexer"})
    key = api.ask("POST", "/keys", {"consumer": "acme/search/indexer"})[1]["key"]
    api.ask("POST", f"{PATH}/suspend")
    assert api.ask("GET", f"/keys/{key['id']}")[1]["state"] == "suspended"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"path": "acme"}, 422),
        ({"path": "a/b/../c"}, 422),
        ({"path": "a/b/c", "details": {"x": "y" * 20_000}}, 422),
        ({"path": "a/b/c", "name": "x\ny"}, 400),
        ({"path": 1}, 400),
        ({}, 400),
    ],
)
def test_what_is_no_consumer_is_refused(api: AdminApi, body: object, status: int) -> None:
    assert api.ask("POST", "/consumers", body)[0] == status
    assert api.ask("GET", "/consumers")[1]["items"] == []


def test_a_viewer_only_reads(api: AdminApi) -> None:
    assert api.ask("POST", "/consumers", {"path": "a/b/c"}, role=Role.VIEWER)[0] == 403
    for action in ("suspend", "resume"):
        assert api.ask("POST", f"{PATH}/{action}", role=Role.VIEWER)[0] == 403
    assert api.ask("DELETE", PATH, role=Role.VIEWER)[0] == 403


def test_pages_and_search(api: AdminApi) -> None:
    for path in ("b/x/y", "a/x/y", "a/x/z"):
        api.ask("POST", "/consumers", {"path": path})
    first = api.ask("GET", "/consumers?limit=2")[1]
    rest = api.ask("GET", f"/consumers?limit=2&cursor={first['next_cursor']}")[1]
    assert [found["path"] for found in (*first["items"], *rest["items"])] == ["a/x/y", "a/x/z", "b/x/y"]
    assert [found["path"] for found in api.ask("GET", "/consumers?search=b/")[1]["items"]] == ["b/x/y"]
    assert api.ask("GET", "/consumers?search=%25")[1]["items"] == []
