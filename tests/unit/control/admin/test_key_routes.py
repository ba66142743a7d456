"""`/keys`: shown once, then administered by their id."""

from __future__ import annotations

import pytest
from tests.control.admin_api import AdminApi

from gatewright.control.admin_keys import Role

NEW = {"consumer": "acme/search/indexer", "name": "nightly", "scopes": {"models": ["gpt-*"]}}


def test_a_key_is_shown_once(api: AdminApi) -> None:
    status, made = api.ask("POST", "/keys", NEW, role=Role.OPERATOR)
    assert status == 201
    assert made["text"].startswith(made["key"]["prefix"])
    status, listed = api.ask("GET", "/keys", role=Role.VIEWER)
    assert listed["items"] == [made["key"]]
    assert api.ask("GET", f"/keys/{made['key']['id']}")[1] == made["key"]
    assert made["text"] not in str(listed) + str(api.ask("GET", "/audit"))


def test_a_key_is_changed_suspended_rotated_and_revoked(api: AdminApi) -> None:
    key = api.ask("POST", "/keys", NEW)[1]["key"]
    path = f"/keys/{key['id']}"
    changed = api.ask("PATCH", path, {"name": "x", "expires_at": None})[1]
    assert (changed["name"], changed["scopes"]) == ("x", key["scopes"])
    assert api.ask("POST", f"{path}/suspend")[1]["state"] == "suspended"
    assert api.ask("POST", f"{path}/resume")[1]["state"] == "active"
    status, rotated = api.ask("POST", f"{path}/rotate", {"overlap_s": 60})
    assert (status, rotated["key"]["scopes"]) == (201, key["scopes"])
    old = api.ask("GET", path)[1]
    assert (old["replaced_by"], old["expires_at"]) == (rotated["key"]["id"], int(api.clock()) + 60)
    assert api.ask("POST", f"{path}/rotate", {})[0] == 409
    assert api.ask("POST", f"{path}/revoke")[1]["state"] == "revoked"
    assert api.ask("POST", f"{path}/suspend")[0] == 409


def test_a_lost_answer_is_asked_for_again(api: AdminApi) -> None:
    first = api.send("POST", "/keys", NEW, idempotency_key="abc")
    again = api.send("POST", "/keys", NEW, idempotency_key="abc")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    assert api.ask("POST", "/keys", {**NEW, "name": "y"}, idempotency_key="abc")[0] == 409
    assert api.ask("POST", "/keys", {"consumer": 1}, idempotency_key="new")[0] == 400
    assert api.ask("POST", "/keys", NEW, idempotency_key="new")[0] == 201
    assert len(api.ask("GET", "/keys")[1]["items"]) == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({**NEW, "consumer": "acme"}, 422),
        ({**NEW, "scopes": {"surfaces": ["nope"]}}, 422),
        ({**NEW, "scopes": {"networks": ["10.0.0.0/99"]}}, 422),
        ({**NEW, "scopes": {"model": []}}, 400),
        ({**NEW, "scopes": {"models": []}}, 400),
        ({**NEW, "scopes": {"models": ["gpt-*"], "surfaces": []}}, 400),
        ({**NEW, "scopes": {"networks": []}}, 400),
        ({**NEW, "expires_at": 5}, 422),
        ({**NEW, "expires_at": -5}, 400),
        ({**NEW, "name": "x" * 201}, 400),
        ({"name": "x"}, 400),
    ],
)
def test_what_is_no_key_is_refused(api: AdminApi, body: object, status: int) -> None:
    assert api.ask("POST", "/keys", body)[0] == status
    assert api.ask("GET", "/keys")[1]["items"] == []


def test_what_is_left_out_does_not_narrow(api: AdminApi) -> None:
    wide = {"consumer": "acme/search/indexer"}
    for body in (wide, {**wide, "scopes": {}}):
        assert api.ask("POST", "/keys", body)[1]["key"]["scopes"] == {}
    key = api.ask("POST", "/keys", NEW)[1]["key"]
    assert api.ask("PATCH", f"/keys/{key['id']}", {"scopes": {"models": []}})[1]["scopes"] == {}


def test_a_viewer_only_reads(api: AdminApi) -> None:
    key = api.ask("POST", "/keys", NEW)[1]["key"]
    assert api.ask("POST", "/keys", NEW, role=Role.VIEWER)[0] == 403
    assert api.ask("PATCH", f"/keys/{key['id']}", {"name": "x"}, role=Role.VIEWER)[0] == 403
    for action in ("suspend", "resume", "revoke", "rotate"):
        assert api.ask("POST", f"/keys/{key['id']}/{action}", {}, role=Role.VIEWER)[0] == 403
    assert api.ask("GET", f"/keys/{key['id']}")[1] == key


def test_lists_are_narrowed_and_cut(api: AdminApi) -> None:
    for consumer in ("acme/a/b", "acme/a/c", "bolt/a/b"):
        api.ask("POST", "/keys", {"consumer": consumer})
    assert len(api.ask("GET", "/keys?consumer=acme/*")[1]["items"]) == 2
    assert len(api.ask("GET", "/keys?state=revoked")[1]["items"]) == 0
    first = api.ask("GET", "/keys?limit=2")[1]
    rest = api.ask("GET", f"/keys?limit=2&cursor={first['next_cursor']}")[1]
    assert len({key["id"] for key in (*first["items"], *rest["items"])}) == 3
    assert api.ask("GET", "/keys?cursor=rubbish")[0] == 422
    assert api.ask("GET", "/keys?cursor=Im5vcGUi")[0] == 422
    assert api.ask("GET", "/keys?state=odd")[0] == 400
    assert api.ask("GET", "/keys/nobody")[0] == 404
