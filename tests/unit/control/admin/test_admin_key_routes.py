"""`/admin-keys`: for the role admin alone."""

from __future__ import annotations

from tests.control.admin_api import AdminApi

from gatewright.control.admin_keys import Role


def test_a_key_that_is_made_here_works_and_is_not_shown_again(api: AdminApi) -> None:
    status, made = api.ask("POST", "/admin-keys", {"name": "dash", "role": "viewer"})
    assert status == 201
    sent = {"authorization": f"Bearer {made['key']}"}
    assert api.ask("GET", "/budgets", role=None, **sent)[0] == 200
    assert api.ask("POST", "/budgets", {"name": "b", "config": {"usd": 1}}, role=None, **sent)[0] == 403
    status, listed = api.ask("GET", "/admin-keys")
    assert made["admin_key"] in listed["items"]
    assert made["key"] not in str(listed)


def test_a_revoked_key_is_refused_at_once(api: AdminApi) -> None:
    made = api.ask("POST", "/admin-keys", {"name": "dash", "role": "viewer"})[1]
    status, revoked = api.ask("POST", f"/admin-keys/{made['admin_key']['id']}/revoke")
    assert (status, revoked["revoked_at"]) == (200, int(api.clock()))
    assert api.ask("GET", "/budgets", role=None, authorization=f"Bearer {made['key']}")[0] == 401


def test_nobody_locks_everybody_out_over_http(api: AdminApi) -> None:
    keys = api.ask("GET", "/admin-keys")[1]["items"]
    last = next(key["id"] for key in keys if key["role"] == "admin")
    status, problem = api.ask("POST", f"/admin-keys/{last}/revoke")
    assert (status, problem["type"]) == (409, "urn:gatewright:problem:conflict")


def test_other_roles_do_not_even_see_them(api: AdminApi) -> None:
    for role in (Role.VIEWER, Role.OPERATOR):
        assert api.ask("GET", "/admin-keys", role=role)[0] == 403
        assert api.ask("POST", "/admin-keys", {"name": "x", "role": "admin"}, role=role)[0] == 403
    assert len(api.admin_keys.list()) == 3


def test_a_wrong_body_is_told_apart_from_a_wrong_meaning(api: AdminApi) -> None:
    assert api.ask("POST", "/admin-keys", {"name": "x", "role": "god"})[0] == 400
    assert api.ask("POST", "/admin-keys", {"name": "x"})[0] == 400
    assert api.ask("POST", "/admin-keys", {"name": "x", "role": "viewer", "more": 1})[0] == 400
    assert api.ask("POST", "/admin-keys", {"name": "x", "role": "viewer", "expires_at": 1})[0] == 422
    assert api.ask("POST", "/admin-keys/nobody/revoke")[0] == 404
