"""`/audit`: every change with who made it and from where."""

from __future__ import annotations

from sqlalchemy import update
from tests.control.admin_api import AdminApi

from gatewright.control.admin_keys import Role
from gatewright.store.tables import AUDIT


def test_a_change_is_told_with_actor_origin_before_and_after(api: AdminApi) -> None:
    api.ask("POST", "/budgets", {"name": "b", "config": {"usd": 1}}, role=Role.OPERATOR)
    api.ask("PUT", "/budgets/b", {"config": {"usd": 2}}, role=Role.OPERATOR)
    change = api.ask("GET", "/audit?action=budget.", role=Role.VIEWER)[1]["items"][0]
    assert change["action"] == "budget.replace"
    assert change["actor"].startswith("operator (")
    assert change["origin"] == "api testclient"
    assert (change["before"]["config"], change["after"]["config"]) == ({"usd": 1}, {"usd": 2})


def test_pages_hold_every_change_once(api: AdminApi) -> None:
    for number in range(5):
        api.ask("POST", "/budgets", {"name": f"b{number}", "config": {"usd": 1}})
    found, cursor = [], ""
    while True:
        page = api.ask("GET", f"/audit?limit=3&cursor={cursor}")[1]
        found += [change["number"] for change in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == list(range(8, 0, -1))


def test_an_altered_log_is_noticed(api: AdminApi) -> None:
    verdict = api.ask("GET", "/audit/verify")[1]
    assert (verdict["ok"], verdict["problems"]) == (True, [])
    head = verdict["head"]
    assert api.ask("GET", f"/audit/verify?number={head['number']}&hash={head['hash']}")[1]["ok"] is True
    assert api.ask("GET", f"/audit/verify?number={head['number']}&hash={'0' * 64}")[1]["ok"] is False
    assert api.ask("GET", f"/audit/verify?number={head['number']}")[0] == 422
    with api.engine.begin() as connection:
        connection.execute(update(AUDIT).where(AUDIT.c.number == 2).values(actor="nobody"))
    assert api.ask("GET", "/audit/verify")[1]["ok"] is False
