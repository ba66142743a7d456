"""The ledger's entries page by page: all of them, once each, the newest first."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from gatewright.control.exchanges import Wanted, list_exchanges
from gatewright.store.tables import ATTEMPTS, EXCHANGES


def add(engine: Engine, number: int, *, attempts: int = 1, **more: Any) -> None:
    """Book one exchange; what is not told is plain."""
    row = {
        "journal": "j1",
        "number": number,
        "id": f"x{number}",
        "started_at_us": number * 1_000,
        "duration_us": 5,
        "first_byte_us": 0,
        "consumer": "acme/search/indexer",
        "end_user": "",
        "key_id": "k",
        "surface": "chat_completions",
        "model": "m",
        "requested_model": "m",
        "status": 200,
        "kind": "",
        "is_stream": False,
        "cache": "",
        "attempts": attempts,
        "is_estimated": False,
        "is_unpriced": False,
        "input_total": 9,
        "cost_nano": 1_500_000_000,
        "cost_rest_femto": 1,
        **more,
    }
    with engine.begin() as connection:
        connection.execute(EXCHANGES.insert().values(row))
        for position in range(attempts):
            connection.execute(
                ATTEMPTS.insert().values(
                    journal=row["journal"],
                    number=number,
                    position=position,
                    provider="up",
                    provider_type="openai",
                    upstream_model="gpt",
                    outcome="ok" if position == attempts - 1 else "upstream_overloaded",
                    is_estimated=False,
                    is_unpriced=False,
                    price_version="v",
                    upstream_ms=3,
                    output_total=position,
                )
            )


def numbers(engine: Engine, wanted: Wanted = Wanted(), limit: int = 50) -> list[int]:  # noqa: B008 - frozen
    return [exchange.number for exchange in list_exchanges(engine, wanted, limit=limit)[0]]


def test_an_exchange_is_told_whole(database: Engine) -> None:
    add(database, 1, attempts=2)
    ((exchange,), following) = list_exchanges(database, Wanted())
    assert following is None
    assert (exchange.id, exchange.tokens, exchange.cost_usd) == ("x1", {"input_total": 9}, "1.500000000000001")
    assert [attempt.outcome for attempt in exchange.attempts] == ["upstream_overloaded", "ok"]
    assert [attempt.tokens for attempt in exchange.attempts] == [{}, {"output_total": 1}]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
def test_pages_hold_every_exchange_once_however_they_are_cut(database: Engine, limit: int) -> None:
    for number in range(1, 8):
        # Two journals, and times that several share: only all three parts of a place tell exchanges apart.
        add(database, number, journal=f"j{number % 2}", started_at_us=number // 3)
    place, found = None, []
    while True:
        page, place = list_exchanges(database, Wanted(), after=place, limit=limit)
        found += [(exchange.started_at_us, exchange.journal, exchange.number) for exchange in page]
        assert len(page) <= limit
        if place is None:
            break
    assert found == sorted(found, reverse=True)
    assert len(found) == len(set(found)) == 7


def test_what_is_booked_meanwhile_moves_no_page(database: Engine) -> None:
    for number in range(1, 5):
        add(database, number)
    first, place = list_exchanges(database, Wanted(), limit=2)
    add(database, 9)
    second, _ = list_exchanges(database, Wanted(), after=place, limit=2)
    assert [exchange.number for exchange in (*first, *second)] == [4, 3, 2, 1]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), [4, 3, 2, 1]),
        (Wanted(consumer="acme/search/indexer"), [4, 1]),
        (Wanted(consumer="acme/*"), [4, 2, 1]),
        (Wanted(consumer="acme/se*"), [4, 1]),
        (Wanted(consumer="acme"), []),
        (Wanted(model="other"), [3]),
        (Wanted(status=429), [2]),
        (Wanted(kind="rate_limited"), [2]),
        (Wanted(id="x3"), [3]),
        (Wanted(key_id="k", surface="chat_completions", since_us=2_000, until_us=4_000), [3, 2]),
        (Wanted(model="' OR 1=1 --"), []),
        (Wanted(consumer="%"), []),
        (Wanted(consumer="_*"), []),
    ],
)
def test_filters_narrow_and_take_everything_literally(database: Engine, wanted: Wanted, found: list[int]) -> None:
    add(database, 1)
    add(database, 2, consumer="acme/sales/app", status=429, kind="rate_limited")
    add(database, 3, consumer="bolt/a/b", model="other")
    add(database, 4)
    assert numbers(database, wanted) == found
