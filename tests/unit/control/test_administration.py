"""Opening the database behind a gateway that serves: when it can, and what begins then."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.control.admin_api import check_budget, check_document

from gatewright.config.documents import Gateway, Selector
from gatewright.control import administration as module
from gatewright.control.actor import Actor
from gatewright.control.administration import Administration, Environment, Sources
from gatewright.control.budget_seeding import Spent, seed_file
from gatewright.control.budgets import BudgetPolicy, Budgets
from gatewright.control.managed_sources import budgets_file
from gatewright.pipeline.claims import BudgetGroup
from gatewright.store.database import migrate, open_database
from gatewright.store.shared import SharedCounters, lacks_spending
from gatewright.telemetry.log import Log
from gatewright.telemetry.records import BudgetState

LONG_S = 20.0
BUDGET = {"filter": "budget", "name": "monthly", "config": {"usd": 1}}
ME = Actor("ops", "admin", "api 192.0.2.7")


class World:
    """An administration of one state directory, whose workers take what they are given."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.stream = io.StringIO()
        self.applied = threading.Semaphore(0)
        self.reasons: list[str] = []
        self.told: list[BudgetState] = []
        self.running: list[Administration] = []

    def begin(self, **document: Any) -> Administration:
        sources = Sources(state=self.state, check=check_document, check_budget=check_budget, read_files=None)
        environment = Environment(
            sources=sources,
            apply=self.apply,
            budget_states=tuple,
            take_budgets=self.told.extend,
            log=Log("control", stream=self.stream, as_json=True),
        )
        made = Administration(msgspec.convert(document, Gateway), environment)
        self.running.append(made)
        made.start()
        return made

    def apply(self) -> list[str]:
        self.applied.release()
        return self.reasons

    def keep(self, name: str) -> None:
        engine = open_database(None, self.state)
        migrate(engine)
        policy = BudgetPolicy(name=name, on=Selector(), config={"usd": 1})
        Budgets(engine, validate=check_budget, now=lambda: 0.0).create(ME, policy)
        engine.dispose()

    @staticmethod
    def wait(predicate: Callable[[], object]) -> None:
        """Look again and again; the threads under test have no event for it."""
        tick = threading.Event()
        for _ in range(int(LONG_S / 0.01)):
            if predicate():
                return
            tick.wait(0.01)
        raise TimeoutError


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(module, "_FIRST_WAIT_S", 0.01)
    made = World(tmp_path)
    yield made
    for administration in made.running:
        administration.stop()


def test_it_opens_in_the_background(world: World) -> None:
    administration = world.begin()
    world.wait(lambda: administration.admin)
    world.wait(lambda: not administration.problem)
    assert administration.engine is not None
    assert administration.ledger_status().waiting == 0
    assert (world.state / "gatewright.db").exists()


def test_what_was_kept_is_written_and_served(world: World) -> None:
    administration = world.begin()
    world.wait(lambda: administration.admin)
    world.keep("monthly")
    assert world.applied.acquire(timeout=LONG_S)
    assert b"monthly" in budgets_file(world.state).read_bytes()
    assert not world.applied.acquire(timeout=0.5), "once"


def test_a_start_with_the_files_in_step_serves_nothing_anew(world: World) -> None:
    world.keep("monthly")
    world.begin()
    assert world.applied.acquire(timeout=LONG_S)
    world.running.pop().stop()
    again = world.begin()
    world.wait(lambda: again.admin)
    assert not world.applied.acquire(timeout=0.5)


def test_workers_that_refuse_are_told_of(world: World) -> None:
    world.reasons = ["`usd` is wrong"]
    world.keep("monthly")
    world.begin()
    world.wait(lambda: "`usd` is wrong" in world.stream.getvalue())


def test_a_database_that_cannot_be_opened_is_tried_again(world: World) -> None:
    blocked = world.state / "gatewright.db"
    blocked.mkdir()
    administration = world.begin()
    world.wait(lambda: world.stream.getvalue())
    assert administration.admin is None
    assert administration.problem
    assert "the gateway serves on" in world.stream.getvalue()
    blocked.rmdir()
    world.wait(lambda: administration.admin)
    world.wait(lambda: not administration.problem)


def test_budgets_are_raised_only_where_their_counters_were_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With those that were added since the start; and a new one begins at nothing, however often control starts."""
    raised: list[list[str | None]] = []

    def note(_: Any, document: Gateway, now: float, *, is_quick: bool = False) -> list[Any]:
        if is_quick:
            return []
        raised.append([policy.name for policy in document.policies])
        return []

    monkeypatch.setattr(module, "spent_of_budgets", note)
    monkeypatch.setattr(module, "_SETTLED_S", 0.0)
    counters = world.state / module.COUNTERS
    administration = world.begin()
    world.wait(lambda: raised == [[]] and not lacks_spending(counters))
    administration.configure(msgspec.convert({"policies": [BUDGET]}, Gateway))
    world.running.pop().stop()
    looked = threading.Semaphore(0)
    monkeypatch.setattr(module, "seed_file", lambda *given: (seed_file(*given), looked.release()))
    again = world.begin(policies=[BUDGET])
    assert looked.acquire(timeout=LONG_S)
    assert raised == [[]]
    counters.unlink()
    again.note_emptied()
    world.wait(lambda: raised == [[], ["monthly"]])


def test_what_was_spent_before_the_start_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the counters: a new name has spent nothing, though the ledger knows what was spent under another."""
    old, new = (BudgetGroup(name, "acme/a/b", "total", 9e9, 100) for name in ("old", "new"))
    spent = [Spent(group, group.allowance, 70) for group in (old, new)]
    monkeypatch.setattr(module, "spent_of_budgets", lambda *_, is_quick=False: spent if is_quick else [])
    counters = SharedCounters(world.state / module.COUNTERS, lambda: 0.0)
    counters.raise_settled(old.allowance, 60)
    counters.close()
    world.begin()
    world.wait(lambda: world.told)
    assert world.told == [BudgetState("old", "acme/a/b", "total", 9e9, 100, 60)]


def test_budgets_wait_until_what_the_database_keeps_is_served(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory that was lost has lost them, and their counters, together."""
    served: list[int] = []
    monkeypatch.setattr(module, "seed_file", lambda *_: served.append(world.applied._value))
    world.keep("monthly")
    world.begin()
    world.wait(lambda: served)
    assert served == [1]
