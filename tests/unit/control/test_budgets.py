"""Budgets that are kept: checked, audited, and ready to be merged into what is served."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine
from tests.control.admin_api import GOOD, check_budget, check_document

from gatewright.config.documents import Selector
from gatewright.config.load import MAX_FILE_BYTES
from gatewright.config.problems import ConfigError
from gatewright.control.actor import Actor
from gatewright.control.audit import list_records
from gatewright.control.budgets import BudgetPolicy, Budgets, BudgetSpending
from gatewright.control.configurations import Configurations
from gatewright.control.refusals import Conflict, Forbidden, NotFound, Outdated, Unacceptable
from gatewright.store.database import reading
from gatewright.store.revisions import read_revision
from gatewright.telemetry.records import BudgetState
from gatewright.testing.clock import FakeClock

ME = Actor("ops", "operator", "api 192.0.2.7")
BOSS = Actor("boss", "admin", "api 192.0.2.7")
HOOK = "${env:HOOK}"


@pytest.fixture
def engine(database: Engine) -> Engine:
    return database


@pytest.fixture
def budgets(engine: Engine) -> Budgets:
    return Budgets(engine, validate=check_budget, now=FakeClock(5_000.0))


def policy(name: str = "monthly", **config: Any) -> BudgetPolicy:
    return BudgetPolicy(name=name, on=Selector(consumers=["acme/*"]), config={"usd": 10, **config})


def revision(engine: Engine) -> int | None:
    with reading(engine) as connection:
        return read_revision(connection, "budgets")


def test_a_budget_is_kept_as_it_was_given(budgets: Budgets) -> None:
    made = budgets.create(ME, policy(per="week"))
    assert made.changed_at == 5_000
    assert budgets.get("monthly") == made
    assert budgets.list() == [made]


def test_every_change_raises_the_revision_and_is_audited(budgets: Budgets, engine: Engine) -> None:
    assert revision(engine) is None
    budgets.create(ME, policy())
    budgets.replace(ME, policy(per="day"))
    budgets.delete(ME, "monthly")
    assert revision(engine) == 3
    records = list_records(engine)
    assert [record.action for record in records] == ["budget.delete", "budget.replace", "budget.create"]
    assert {record.subject for record in records} == {"budget/monthly"}
    replaced = records[1]
    assert msgspec.json.decode(replaced.before)["config"] == {"usd": 10}
    assert msgspec.json.decode(replaced.after)["config"] == {"usd": 10, "per": "day"}
    assert bytes(records[0].after) == b"null"


def test_what_is_refused_changes_nothing(budgets: Budgets, engine: Engine) -> None:
    kept = budgets.create(ME, policy())
    with pytest.raises(Conflict):
        budgets.create(ME, policy(usd=20))
    with pytest.raises(Unacceptable) as refused:
        budgets.replace(ME, policy(usd=-1, colour="red"))
    assert [error.path for error in refused.value.errors] == ["config.colour", "config.usd"]
    with pytest.raises(NotFound):
        budgets.replace(ME, policy("absent"))
    with pytest.raises(NotFound):
        budgets.delete(ME, "absent")
    assert budgets.list() == [kept]
    assert revision(engine) == 1
    assert len(list_records(engine)) == 1


def test_errors_are_told_by_their_place_in_the_budget(engine: Engine) -> None:
    errors = [ConfigError("policies[12].config.usd", "is wrong", "all.yaml", 7), ConfigError("", "is odd")]
    budgets = Budgets(engine, validate=lambda policy, active: errors, now=FakeClock())
    with pytest.raises(Unacceptable) as refused:
        budgets.create(ME, policy())
    assert refused.value.errors == (ConfigError("config.usd", "is wrong"), ConfigError("", "is odd"))


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        (policy(expression="${env:KEY}"), "config.expression"),
        (policy(expression="'${file:/etc/passwd}'"), "config.expression"),
        (policy(when_dry="${env:KEY}"), "config.when_dry"),
        (policy(alerts=[80, "${env:KEY}"]), "config.alerts[1]"),
        (policy(deep={"er": ["${env:KEY"]}), "config.deep.er[0]"),
        (policy(webhook="https://example.com/?stolen=${env:KEY}"), "config.webhook"),
        (policy(webhook="${env:HOOK}${env:KEY}"), "config.webhook"),
        (BudgetPolicy(name="n", on=Selector(models=["${env:KEY}"]), config={"usd": 1}), "on.models[0]"),
        (BudgetPolicy(name="n", on=Selector(consumers=["acme/${env:KEY}"]), config={"usd": 1}), "on.consumers[0]"),
    ],
)
def test_references_stand_in_no_other_place_and_are_not_resolved(
    engine: Engine, policy: BudgetPolicy, path: str
) -> None:
    asked: list[BudgetPolicy] = []

    def validate(policy: BudgetPolicy, active: str | None) -> list[ConfigError]:
        asked.append(policy)
        return []

    budgets = Budgets(engine, validate=validate, now=FakeClock())
    with pytest.raises(Unacceptable) as refused:
        budgets.create(BOSS, policy)
    assert [error.path for error in refused.value.errors] == [path]
    assert asked == []


def test_budgets_with_a_webhook_are_for_admins(budgets: Budgets, engine: Engine) -> None:
    with pytest.raises(Forbidden, match="role admin"):
        budgets.create(ME, policy(webhook=HOOK))
    budgets.create(ME, policy())
    with pytest.raises(Forbidden):
        budgets.replace(ME, policy(webhook=HOOK))
    kept = budgets.replace(BOSS, policy(webhook=HOOK))
    with pytest.raises(Forbidden):
        budgets.replace(ME, policy())
    with pytest.raises(Forbidden):
        budgets.delete(ME, "monthly")
    assert budgets.list() == [kept]
    assert revision(engine) == 2
    budgets.replace(BOSS, policy())
    budgets.delete(ME, "monthly")


def test_a_budget_is_checked_with_the_configuration_that_is_kept(engine: Engine) -> None:
    asked: list[str | None] = []

    def validate(policy: BudgetPolicy, active: str | None) -> list[ConfigError]:
        asked.append(active)
        if len(asked) == 1:  # somebody applies a version meanwhile
            configurations.apply(BOSS, GOOD, expected=0)
        return [] if active is None else [ConfigError("policies[3].name", "is another's")]

    budgets = Budgets(engine, validate=validate, now=FakeClock())
    configurations = Configurations(
        engine, check=check_document, apply=lambda document: [], read_files=None, now=FakeClock()
    )
    with pytest.raises(Unacceptable) as refused:
        budgets.create(ME, policy())
    assert refused.value.errors == (ConfigError("name", "is another's"),)
    assert asked == [None, GOOD]
    assert budgets.list() == []
    assert revision(engine) is None


def test_all_budgets_together_fit_into_a_file_that_can_be_read(engine: Engine) -> None:
    budgets = Budgets(engine, validate=lambda policy, active: (), now=FakeClock())
    half = {"usd": 1, "by": "x" * (MAX_FILE_BYTES // 2)}
    budgets.create(ME, BudgetPolicy(name="a", config=half))
    with pytest.raises(Unacceptable, match="MiB"):
        budgets.create(ME, BudgetPolicy(name="b", config=half))
    budgets.replace(ME, BudgetPolicy(name="a", config=half))


def test_settings_beyond_all_depth_are_refused(budgets: Budgets) -> None:
    deep: Any = {}
    for _ in range(5_000):
        deep = {"x": deep}
    with pytest.raises(Unacceptable, match="too deeply"):
        budgets.create(ME, policy(per=deep))


def test_pages_go_by_name(budgets: Budgets) -> None:
    for name in ("c", "a", "b"):
        budgets.create(ME, policy(name))
    assert [budget.policy.name for budget in budgets.list(limit=2)] == ["a", "b"]
    assert [budget.policy.name for budget in budgets.list(after="b", limit=2)] == ["c"]


@pytest.mark.parametrize(("ends_at", "shown"), [(1_800_000_000.0, 1_800_000_000), (float("inf"), None)])
def test_spending_is_told_in_dollars(ends_at: float, shown: int | None) -> None:
    state = BudgetState("monthly", "acme/a/b", "2026-11", ends_at, 10_000_000_000, 2_500_000_000)
    assert BudgetSpending.of(state) == BudgetSpending("acme/a/b", "2026-11", shown, 10.0, 2.5)


def test_a_revision_tells_budgets_apart(budgets: Budgets) -> None:
    first = budgets.create(ME, policy()).revision
    assert budgets.get("monthly").revision == first
    second = budgets.replace(ME, policy(per="day")).revision
    assert budgets.get("monthly").revision == second != first
    assert budgets.replace(ME, policy()).revision == first
    on = BudgetPolicy(name="monthly", on=Selector(consumers=["acme/a"]), config={"usd": 10})
    assert budgets.replace(ME, on).revision != first


def test_who_has_seen_another_one_changes_nothing(budgets: Budgets, engine: Engine) -> None:
    seen = budgets.create(ME, policy()).revision
    kept = budgets.replace(ME, policy(per="day"), expected=["other", seen])
    for expected in ([seen], []):
        with pytest.raises(Outdated, match="changed meanwhile"):
            budgets.replace(ME, policy(per="week"), expected=expected)
        with pytest.raises(Outdated):
            budgets.delete(ME, "monthly", expected=expected)
    assert budgets.list() == [kept]
    assert (revision(engine), len(list_records(engine))) == (2, 2)
    with pytest.raises(NotFound):
        budgets.delete(ME, "absent", expected=[seen])
    budgets.delete(ME, "monthly", expected=[kept.revision])
