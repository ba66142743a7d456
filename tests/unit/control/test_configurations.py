"""Versions of the configuration: checked before, stored, served, and taken back when they are refused."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from sqlalchemy import Engine
from tests.control.admin_api import GOOD, check_budget, check_document

from gatewright.config.problems import ConfigError
from gatewright.control.actor import Actor
from gatewright.control.audit import list_records
from gatewright.control.budgets import BudgetPolicy, Budgets
from gatewright.control.configurations import Configurations, Verdict
from gatewright.control.kept import Policies
from gatewright.control.refusals import Conflict, NotFound, Outdated, Unacceptable
from gatewright.store.database import reading
from gatewright.store.revisions import read_revision
from gatewright.testing.clock import FakeClock

ME = Actor("boss (abc)", "admin", "api 192.0.2.7")
OTHER = GOOD + "timeouts: {drain_s: 5}\n"


class Served:
    """Stands for the workers: what they were given, and what they say against it."""

    def __init__(self) -> None:
        self.documents: list[bytes] = []
        self.refusal: list[str] = []

    def apply(self, document: bytes) -> list[str]:
        self.documents.append(document)
        return self.refusal


def build(engine: Engine, served: Served, files: Sequence[tuple[str, bytes]] | None = None) -> Configurations:
    read_files = None if files is None else lambda: files
    return Configurations(
        engine, check=check_document, apply=served.apply, read_files=read_files, now=FakeClock(7_000.0)
    )


@pytest.fixture
def served() -> Served:
    return Served()


def test_before_the_first_there_is_none(database: Engine, served: Served) -> None:
    configurations = build(database, served)
    active = configurations.active()
    assert (active.source, active.version, active.document) == ("api", 0, "")
    assert configurations.versions() == []


def test_what_is_applied_is_stored_served_and_active(database: Engine, served: Served) -> None:
    configurations = build(database, served)
    first = configurations.apply(ME, GOOD, expected=0, note="begin")
    second = configurations.apply(ME, OTHER, expected=1)
    assert served.documents == [GOOD.encode(), OTHER.encode()]
    assert (first.version, first.note, first.created_by, first.created_at) == (1, "begin", "boss (abc)", 7_000)
    assert configurations.active().version == second.version == 2
    assert configurations.active().document == OTHER
    assert [(v.version, v.is_active) for v in configurations.versions()] == [(2, True), (1, False)]
    assert [v.version for v in configurations.versions(before=2, limit=5)] == [1]
    with reading(database) as connection:
        assert read_revision(connection, "configurations") == 2


def test_a_long_name_of_an_author_fits(database: Engine, served: Served) -> None:
    author = Actor("x" * 215, "admin", "api 192.0.2.7")
    assert build(database, served).apply(author, GOOD, expected=0).created_by == "x" * 200


def test_a_later_gateway_finds_the_active_version(database: Engine, served: Served) -> None:
    build(database, served).apply(ME, GOOD, expected=0)
    assert build(database, Served()).active().document == GOOD


@pytest.mark.parametrize("expected", [0, 2, 99])
def test_another_version_than_the_one_seen_is_refused(database: Engine, served: Served, expected: int) -> None:
    configurations = build(database, served)
    configurations.apply(ME, GOOD, expected=0)
    with pytest.raises(Outdated, match="version 1 is active"):
        configurations.apply(ME, OTHER, expected=expected)
    assert configurations.active().document == GOOD
    assert len(served.documents) == 1
    assert len(list_records(database)) == 1


def test_a_version_is_checked_with_the_budgets_that_are_kept(database: Engine, served: Served) -> None:
    asked: list[list[str]] = []
    budgets = Budgets(database, validate=check_budget, now=FakeClock())

    def check(data: bytes, policies: Policies) -> Verdict:
        asked.append([policy["name"] for policy in policies])
        if len(asked) == 1:  # somebody makes one meanwhile
            budgets.create(ME, BudgetPolicy(name="same", config={"usd": 1}))
        return Verdict((ConfigError("", "does not fit"),) if policies else ())

    configurations = Configurations(database, check=check, apply=served.apply, read_files=None, now=FakeClock(7_000.0))
    with pytest.raises(Unacceptable):
        configurations.apply(ME, GOOD, expected=0)
    assert asked == [[], ["same"]]
    assert configurations.versions() == []
    assert served.documents == []
    assert [error.message for error in configurations.validate(GOOD).errors] == ["does not fit"]


def test_every_error_is_told_with_its_line_and_nothing_changes(database: Engine, served: Served) -> None:
    wrong = 'providers: {up: {type: openai, key: plain}}\nlisten: 7\nnonsense: 1\nmodels: {m: {targets: "${env:NO}"}}\n'
    configurations = build(database, served)
    with pytest.raises(Unacceptable) as refused:
        configurations.apply(ME, wrong, expected=0)
    assert {error.line for error in refused.value.errors} >= {2, 3, 4}
    assert served.documents == []
    assert configurations.versions() == []
    assert list_records(database) == []


def test_a_plain_secret_is_refused_by_name_of_its_place(database: Engine, served: Served) -> None:
    headers = 'headers: {authorization: "Bearer hunter2"}'
    document = GOOD.replace('key: "${env:KEY}"', headers)
    verdict = build(database, served).validate(document)
    assert [error.path for error in verdict.errors] == ["providers.up.headers.authorization"]
    assert "hunter2" not in str(verdict)
    assert build(database, served).validate(GOOD).errors == ()


def test_what_the_workers_refuse_gives_way_to_the_version_before(database: Engine, served: Served) -> None:
    configurations = build(database, served)
    configurations.apply(ME, GOOD, expected=0)
    served.refusal = ["worker-1: models.m: no such thing"]
    with pytest.raises(Unacceptable, match="workers refused") as refused:
        configurations.apply(ME, OTHER, expected=1)
    assert [error.message for error in refused.value.errors] == served.refusal
    assert configurations.active().version == 1
    assert [(v.version, v.is_active) for v in configurations.versions()] == [(2, False), (1, True)]
    record = list_records(database)[0]
    assert (record.action, record.subject) == ("configuration.take_back", "configuration/2")
    assert msgspec.json.decode(record.after) == {"version": 1, "refused": served.refusal}
    served.refusal = []
    assert configurations.apply(ME, OTHER, expected=1).version == 3


def test_rolling_back_applies_an_earlier_version_as_a_new_one(database: Engine, served: Served) -> None:
    configurations = build(database, served)
    configurations.apply(ME, GOOD, expected=0)
    configurations.apply(ME, OTHER, expected=1)
    made = configurations.roll_back(ME, 1, expected=2)
    assert (made.version, made.note) == (3, "as version 1")
    assert served.documents[-1] == GOOD.encode()
    assert configurations.get(3)[1] == GOOD
    with pytest.raises(NotFound):
        configurations.roll_back(ME, 9, expected=3)


def test_files_are_the_truth_where_there_are_files(database: Engine, served: Served) -> None:
    files = [("gatewright.yaml", GOOD.replace("x}", "x, weight: 2}").encode())]
    configurations = build(database, served, files)
    active = configurations.active()
    assert (active.source, active.version) == ("files", 0)
    assert msgspec.json.decode(active.document)["providers"]["up"]["key"] == "${env:KEY}"
    for change in (
        lambda: configurations.apply(ME, GOOD, expected=0),
        lambda: configurations.roll_back(ME, 1, expected=0),
    ):
        with pytest.raises(Conflict, match="configuration files"):
            change()
    assert served.documents == []
    assert configurations.validate(GOOD).errors == (), "what is not applied may still be checked"


def test_versions_are_compared_line_by_line(database: Engine, served: Served) -> None:
    configurations = build(database, served)
    configurations.apply(ME, GOOD, expected=0)
    configurations.apply(ME, OTHER, expected=1)
    assert "+timeouts: {drain_s: 5}\n" in configurations.diff(1, 2)
    assert configurations.diff(1, 1) == ""
    assert configurations.diff(0, 1).count("\n+") == GOOD.count("\n") + 1
    with pytest.raises(NotFound):
        configurations.diff(1, 5)
