"""How far budgets are spent, and who is told of it: once."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Coroutine
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import Engine

from gatewright.config.documents import Gateway
from gatewright.control import budget_watch
from gatewright.control.budget_watch import MAX_GROUPS, BudgetWatch
from gatewright.telemetry.log import Log
from gatewright.telemetry.records import BudgetState
from gatewright.testing.clock import FakeClock

URL = "https://hooks.example/secret"
_Client = httpx.AsyncClient


class Stopped(Exception):
    """The process ends."""


class World:
    """A watch whose alerts are told when asked, and a webhook that answers as it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *engines: Engine | None) -> None:
        """`engines`: what the database is each time it is asked for, the last one from then on."""
        self.clock = FakeClock()
        self.told: list[Coroutine[Any, Any, None]] = []
        self.stream = io.StringIO()
        self.statuses: list[int | Exception] = []
        self.posted: list[dict[str, Any]] = []
        self.waited: list[float] = []
        self.stop_waiting_at = float("inf")
        self.ends_in_s = 10_000.0
        self.limit_usd = 10
        log = Log("control", stream=self.stream, as_json=True)
        self.engines: list[Engine | None] = list(engines) or [None]
        self.watch = BudgetWatch(self._engine, self.clock, self.told.append, log)
        transport = httpx.MockTransport(self._answer)
        monkeypatch.setattr(httpx, "AsyncClient", lambda **options: _Client(transport=transport, **options))
        monkeypatch.setattr(asyncio, "sleep", self._sleep)

    def _engine(self) -> Engine | None:
        return self.engines.pop(0) if len(self.engines) > 1 else self.engines[0]

    async def _sleep(self, seconds: float) -> None:
        if seconds >= self.stop_waiting_at:
            raise Stopped
        self.waited.append(seconds)
        self.clock.advance(seconds)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        assert str(request.url) == URL
        status = self.statuses.pop(0) if self.statuses else 204
        if isinstance(status, Exception):
            raise status
        self.posted.append(msgspec.json.decode(request.content))
        return httpx.Response(status)

    def configure(self, *alerts: int, webhook: str | None = URL) -> None:
        config = {"usd": 10, "alerts": list(alerts), **({} if webhook is None else {"webhook": webhook})}
        policies = [{"filter": "budget", "name": "monthly", "config": config}, {"filter": "rate_limit", "config": {}}]
        self.watch.configure(msgspec.convert({"policies": policies}, Gateway))

    def spend(
        self, usd: float, who: str = "acme/a", window: str = "2026-11", name: str = "monthly", *, is_dry: bool = False
    ) -> None:
        ends_at, limit_nano = self.clock() + self.ends_in_s, self.limit_usd * 10**9
        state = BudgetState(name, who, window, ends_at, limit_nano, round(usd * 1e9), is_dry)
        self.watch.take([state])

        async def tell() -> None:
            waiting, self.told[:] = list(self.told), []
            for one in waiting:
                await one

        asyncio.run(tell())

    @property
    def percents(self) -> list[int]:
        return [alert["threshold_percent"] for alert in self.posted]

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.stream.getvalue().splitlines()]


def test_each_mark_is_told_once_per_group_and_window(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.configure(50, 100)
    for usd in (4.99, 5.0, 7.0, 9.99, 10.0, 30.0):
        world.spend(usd)
    assert world.percents == [50, 100]
    world.spend(6.0, who="acme/b")
    world.spend(6.0, window="2026-12")
    assert world.percents == [50, 100, 50, 50]
    assert world.posted[0] == {
        "budget": "monthly",
        "group": "acme/a",
        "window": "2026-11",
        "threshold_percent": 50,
        "used_usd": "5.000000000",
        "limit_usd": "10.000000000",
    }
    assert len(world.lines) == 4
    assert URL not in world.stream.getvalue()


def test_late_reports_take_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.configure(50)
    for usd in (4.0, 7.0, 6.0, 4.5):
        world.spend(usd)
    assert [state.used_nano for state in world.watch.present()] == [7_000_000_000]
    assert world.percents == [50]


@pytest.mark.parametrize(
    ("usd", "told"),
    [(7.99, [50]), (8.0, [50, 80, 90, 100]), (9.985, [50, 80, 90, 100]), (13.0, [50, 80, 90, 100, 130])],
)
def test_a_budget_that_is_nearly_spent_and_refuses_is_spent(
    monkeypatch: pytest.MonkeyPatch, usd: float, told: list[int]
) -> None:
    world = World(monkeypatch)
    world.configure(50, 80, 90, 100, 130)
    for _ in range(2):
        world.spend(usd, is_dry=True)
    assert world.percents == told
    assert {alert["used_usd"] for alert in world.posted} == {f"{usd:.9f}"}


def test_a_jump_passes_every_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.configure(50, 80, 100)
    world.spend(12.0)
    assert world.percents == [50, 80, 100]


def test_without_webhook_the_log_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.configure(80, webhook=None)
    world.spend(9.0)
    world.spend(9.0, name="unknown")
    assert (len(world.lines), world.posted) == (1, [])


def test_what_was_told_is_remembered_by_the_database(monkeypatch: pytest.MonkeyPatch, database: Engine) -> None:
    for told in ([50], []):
        world = World(monkeypatch, database)
        world.configure(50)
        world.spend(6.0)
        assert world.percents == told


def test_an_alert_waits_for_the_database_to_open(monkeypatch: pytest.MonkeyPatch, database: Engine) -> None:
    for engines in ([database], [None, None, database]):
        world = World(monkeypatch, *engines)
        world.configure(50)
        world.spend(6.0)
    assert (world.percents, len(world.waited)) == ([], 2)


@pytest.mark.parametrize(
    ("statuses", "posts", "waits", "says"),
    [
        ([503, 204], 2, [1.0], "cannot be reached"),
        ([httpx.ConnectError("refused"), 200], 1, [1.0], "cannot be reached"),
        ([500] * 8 + [200], 9, [1.0, 3.0, 9.0, 27.0, 81.0, 243.0, 300.0, 300.0], "cannot be reached"),
        ([404], 1, [], "refuses"),
        ([302], 1, [], "refuses"),
    ],
)
def test_webhooks_that_fail(
    monkeypatch: pytest.MonkeyPatch,
    database: Engine,
    statuses: list[int | Exception],
    posts: int,
    waits: list[float],
    says: str,
) -> None:
    world = World(monkeypatch, database)
    world.configure(50)
    world.statuses = list(statuses)
    world.spend(6.0)
    assert (len(world.posted), world.waited) == (posts, waits)
    assert says in world.stream.getvalue()
    assert URL not in world.stream.getvalue()
    world.spend(6.5)
    assert len(world.posted) == posts


def test_an_alert_is_given_up_with_its_window(monkeypatch: pytest.MonkeyPatch, database: Engine) -> None:
    world = World(monkeypatch, database)
    world.configure(50)
    world.statuses = [503, 503, 503, 503]
    world.ends_in_s = 12.0
    world.spend(6.0)
    assert len(world.posted) == 3


def test_what_a_process_did_not_get_told_the_next_one_tells(monkeypatch: pytest.MonkeyPatch, database: Engine) -> None:
    first = World(monkeypatch, database)
    first.configure(50)
    first.statuses = [503]
    first.stop_waiting_at = 1.0
    with pytest.raises(Stopped):
        first.spend(6.0)
    second = World(monkeypatch, database)
    second.configure(50)
    second.spend(6.0)
    assert (second.percents, second.waited) == ([50], [budget_watch._LEASE_S])


def test_a_budget_that_was_raised_has_its_marks_before_it(monkeypatch: pytest.MonkeyPatch, database: Engine) -> None:
    world = World(monkeypatch, database)
    world.configure(80)
    world.spend(9.0)
    world.limit_usd = 100
    world.spend(9.5)
    world.spend(80.0)
    world.spend(90.0)
    assert [(alert["used_usd"], alert["limit_usd"]) for alert in world.posted] == [
        ("9.000000000", "10.000000000"),
        ("80.000000000", "100.000000000"),
    ]


def test_states_are_the_last_known_of_windows_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.spend(1.0)
    world.spend(2.0, who="acme/b")
    world.spend(3.0)
    assert [(state.who, state.used_nano) for state in world.watch.present()] == [
        ("acme/b", 2_000_000_000),
        ("acme/a", 3_000_000_000),
    ]
    world.clock.advance(10_001.0)
    assert world.watch.present() == []


def test_so_many_marks_are_remembered_the_others_are_in_the_database(
    monkeypatch: pytest.MonkeyPatch, database: Engine
) -> None:
    monkeypatch.setattr(budget_watch, "_MAX_TOLD", 3)
    world = World(monkeypatch, database)
    world.configure(50)
    for _ in range(2):
        for who in range(8):
            world.spend(6.0, who=f"user-{who}")
            assert len(world.watch._told) <= 3
    assert [alert["group"] for alert in world.posted] == [f"user-{who}" for who in range(8)]


def test_so_many_groups_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    ends_at = world.clock() + 100.0
    world.watch.take([BudgetState("b", f"user-{number}", "total", ends_at, 1, 1) for number in range(MAX_GROUPS + 7)])
    assert len(world.watch.states) == MAX_GROUPS
    assert ("b", "user-6", "total") not in world.watch.states


def test_states_may_be_asked_for_while_workers_report(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)

    class ReportedMeanwhile(float):
        """An end at whose comparison another thread would have its turn."""

        def __gt__(self, now: float) -> bool:
            world.watch.take([BudgetState("monthly", "late", "2026-11", 9e9, 1, 1)])
            return True

    world.watch.take([BudgetState("monthly", str(n), "2026-11", ReportedMeanwhile(9e9), 1, 1) for n in range(3)])
    assert [state.who for state in world.watch.present()] == ["0", "1", "2"]
