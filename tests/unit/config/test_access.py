"""Access rules as documents: what may be written, and what does not fit together."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.config.access import AccessRule, find_access_errors


def rule(**members: Any) -> AccessRule:
    return msgspec.convert({"name": "r"} | members, AccessRule)


def test_a_rule_with_a_name_alone_covers_and_allows_everything() -> None:
    plain = rule()
    assert not plain.is_limited
    assert (plain.consumers, plain.models, plain.surfaces, plain.issuers, plain.when) == ([], [], [], [], None)


@pytest.mark.parametrize("members", [{"max_tokens": 1}, {"tools": False}, {"images": False}])
def test_a_rule_that_looks_into_requests_says_so(members: dict[str, Any]) -> None:
    assert rule(**members).is_limited


@pytest.mark.parametrize("members", [{"tools": True, "images": True}, {"when": "true"}, {"models": ["a"]}])
def test_other_rules_do_not(members: dict[str, Any]) -> None:
    assert not rule(**members).is_limited


@pytest.mark.parametrize(
    "members",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "a`b"},
        {"name": "a" * 129},
        {"max_tokens": 0},
        {"when": "a" * 4097},
        {"model": ["a"]},
        {"tools": "no"},
    ],
)
def test_what_makes_no_sense_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        rule(**members)


@pytest.mark.parametrize("name", ["interns", "Interns, with a limit", "Практика", "a" * 128])
def test_names_are_for_people(name: str) -> None:
    assert rule(name=name).name == name


def found(*rules: AccessRule, issuers: tuple[str, ...] = ("staff", "partners")) -> list[str]:
    return [str(error) for error in find_access_errors(rules, issuers)]


def test_rules_that_fit_together() -> None:
    assert found(rule(name="a", issuers=["staff"]), rule(name="b")) == []


def test_everything_that_does_not_fit_is_told_at_once() -> None:
    errors = found(rule(name="a", issuers=["staff", "stuff"]), rule(name="b"), rule(name="a", issuers=["zzz"]))
    assert errors == [
        "access[0].issuers[1]: there is no identity provider `stuff`; did you mean `staff`?",
        "access[2].name: `a` is the name of access[0] already; choose another",
        "access[2].issuers[0]: there is no identity provider `zzz`; use one of `partners`, `staff`",
    ]


def test_without_identity_providers_none_can_be_named() -> None:
    assert found(rule(issuers=["staff"]), issuers=()) == [
        "access[0].issuers[0]: there is no identity provider `staff`; none is configured"
    ]


def test_what_is_unreadable_elsewhere_is_passed_over() -> None:
    broken = AccessRule(name="", issuers=[""])
    assert found(broken, broken) == []
