"""`/exchanges`: the ledger's entries, filtered and in pages."""

from __future__ import annotations

import pytest
from tests.control.admin_api import AdminApi
from tests.unit.control.test_exchanges import add

from gatewright.control.admin_keys import Role


def test_pages_hold_every_exchange_once(api: AdminApi) -> None:
    for number in range(1, 6):
        add(api.engine, number, attempts=2)
    found, cursor = [], ""
    while True:
        page = api.ask("GET", f"/exchanges?limit=2&cursor={cursor}", role=Role.VIEWER)[1]
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [exchange["number"] for exchange in found] == [5, 4, 3, 2, 1]
    assert found[0]["cost_usd"] == "1.500000000000001"
    assert [attempt["outcome"] for attempt in found[0]["attempts"]] == ["upstream_overloaded", "ok"]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("consumer=acme/*", [2, 1]),
        ("consumer=bolt/*", []),
        ("status=429", [2]),
        ("id=x1&model=m", [1]),
        ("since_us=2000", [2]),
        ("until_us=2000", [1]),
        ("kind=rate_limited&surface=chat_completions&key_id=k", [2]),
        ("model='%20OR%20''='", []),
    ],
)
def test_filters(api: AdminApi, query: str, numbers: list[int]) -> None:
    add(api.engine, 1)
    add(api.engine, 2, status=429, kind="rate_limited")
    status, page = api.ask("GET", f"/exchanges?{query}")
    assert (status, [exchange["number"] for exchange in page["items"]]) == (200, numbers)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "status=-1", "since_us=-1", "model=%00", "statsu=200", "model=" + "x" * 301],
)
def test_what_cannot_be_asked_is_refused_instead_of_ignored(api: AdminApi, query: str) -> None:
    assert api.ask("GET", f"/exchanges?{query}")[0] == 400
