"""Who shares an allowance."""

from __future__ import annotations

import pytest

from gatewright.core.consumer import Consumer
from gatewright.core.exchange import Exchange
from gatewright.pipeline.grouping import By, Grouping


def exchange(path: str = "acme/search/indexer", **members: object) -> Exchange:
    x = Exchange("req_1", None, {b"x-project": b"blue"}, b"{}", 0.0)
    x.consumer = Consumer(path, key_id="gw-1", issuer="corp", claims={"department": "law", "level": 3})
    x.user, x.published_model = "anna", "m"
    for name, value in members.items():
        setattr(x, name, value)
    return x


@pytest.mark.parametrize(
    ("by", "name", "is_fixed"),
    [
        ("consumer", "acme/search/indexer", True),
        ("organisation", "acme", True),
        ("team", "acme/search", True),
        ("user", "acme/search/indexer:anna", False),
        ("key", "gw-1", False),
        ("issuer", "corp", True),
        ("model", ":m", True),
        ("consumer_and_model", "acme/search/indexer:m", True),
        ("all", "", True),
    ],
)
def test_levels(by: By, name: str, is_fixed: bool) -> None:
    grouping = Grouping(by)
    assert (grouping.name(exchange()), grouping.is_fixed) == (name, is_fixed)
    assert Grouping(by, per_model=True).name(exchange()) == f"{name}:m"
    assert grouping.is_consumer == (by == "consumer")


@pytest.mark.parametrize(
    ("by", "expression", "others"),
    [("user", None, "acme/search/indexer:\n"), ("user", "jwt.department", "\n"), ("team", None, "\n")],
)
def test_those_without_a_counter_of_their_own(by: By, expression: str | None, others: str) -> None:
    grouping = Grouping(by, expression)
    assert grouping.others(exchange()) == others
    assert Grouping(by, expression, per_model=True).others(exchange()) == f"{others}:m"
    assert grouping.is_open == (by == "user")


def test_a_path_of_one_level_is_its_own_team_and_organisation() -> None:
    assert [Grouping(by).name(exchange("anonymous")) for by in ("organisation", "team")] == ["anonymous"] * 2


@pytest.mark.parametrize("key_id", ["", "jwt:corp", "introspection", "certificate"])
def test_who_has_no_key_with_an_id_counts_for_its_consumer(key_id: str) -> None:
    assert Grouping("key").name(exchange(consumer=Consumer("acme/a", key_id))) == "acme/a"


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ('jwt.department + "!"', "law!"),
        ('request.headers["x-project"]', "blue"),
        ("jwt.missing", "(unknown)"),
        ("jwt.level", "3"),
    ],
)
def test_expressions(expression: str, name: str) -> None:
    grouping = Grouping("consumer", expression)
    assert grouping.name(exchange()) in (name, f"{float(3)!r}" if name == "3" else name)
    assert not grouping.is_fixed
    assert not grouping.is_consumer


@pytest.mark.parametrize("sent", ["x" * 60_000, "a\0b\n", "é" * 200])
def test_a_name_that_a_caller_chose_is_kept_short_and_apart(sent: str) -> None:
    grouping = Grouping("consumer", "jwt.department")

    def name(department: str) -> str:
        return grouping.name(exchange(consumer=Consumer("acme/a", claims={"department": department})))

    assert len(name(sent)) <= 200
    assert name(sent).isprintable()
    assert name(sent) == name(sent)
    assert name(sent) != name(sent + "y")
    assert name(sent)[:1] == sent[:1]
    assert Grouping("user").name(exchange(user=sent)) == f"acme/search/indexer:{name(sent)}"


def test_an_expression_may_be_split_by_model() -> None:
    assert Grouping("all", "jwt.department", per_model=True).name(exchange()) == "law:m"
