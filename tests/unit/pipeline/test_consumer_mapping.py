"""Claims to a consumer's path, and nothing that a claim holds can climb into another consumer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.core.errors import GatewayError, Kind
from gatewright.pipeline.consumer_mapping import MISSING, check_path, compile_template, find_claim, parse_claim

CLAIMS: dict[str, Any] = {
    "azp": "indexer",
    "groups": ["search", "all"],
    "one": ["only"],
    "org": {"team": "data", "units": [{"name": "x1"}]},
    "https://acme.example/team": "web",
    "cognito:groups": ["ops"],
    "number": 42,
    "nothing": None,
    "empty": "",
    "true": True,
    "float": 1.5,
    "huge": 1 << 70,
    "slash": "a/b",
    "dots": "..",
    "space": "a b",
    "newline": "a\n",
    "nul": "a\0",
    "umlaut": "ä",
    "long": "x" * 129,
    "objects": [{}],
}


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("acme/search/indexer", "acme/search/indexer"),
        ("acme/${groups[0]}/${azp}", "acme/search/indexer"),
        ("acme/${groups[1]}/${azp}", "acme/all/indexer"),
        ("${one}/${org.team}/${org.units[0].name}", "only/data/x1"),
        ('acme/${["https://acme.example/team"]}/app-${number}', "acme/web/app-42"),
        ("acme/${cognito:groups}/${azp}_${org.team}", "acme/ops/indexer_data"),
        ('acme/${org["team"]}/v1.${number}', "acme/data/v1.42"),
    ],
)
def test_templates(template: str, path: str) -> None:
    assert compile_template(template)(CLAIMS) == path


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("absent", "does not say `absent`"),
        ("nothing", "does not say `nothing`"),
        ("groups[2]", "does not say `groups\\[2\\]`"),
        ("azp[0]", "does not say"),
        ("azp.inner", "does not say"),
        ("groups.inner", "does not say"),
        ("org[0]", "does not say"),
        ("groups", "`groups` is not one text"),
        ("org", "`org` is not one text"),
        ("objects", "`objects` is not one text"),
        ("true", "`true` is not one text"),
        ("float", "`float` is not one text"),
        ("huge", "holds characters"),
        ("empty", "holds characters"),
        ("slash", "holds characters"),
        ("space", "holds characters"),
        ("newline", "holds characters"),
        ("nul", "holds characters"),
        ("umlaut", "holds characters"),
        ("dots", "no valid name of a consumer"),
        ("long", "no valid name of a consumer"),
    ],
)
def test_claims_that_give_no_path(claim: str, message: str) -> None:
    with pytest.raises(GatewayError, match=message) as refusal:
        compile_template(f"acme/${{{claim}}}/app")(CLAIMS)
    assert refusal.value.kind is Kind.FORBIDDEN


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("", "three parts"),
        ("acme", "three parts"),
        ("acme/search", "three parts"),
        ("acme/search/indexer/x", "three parts"),
        ("acme//indexer", "three parts"),
        ("/acme/indexer", "three parts"),
        ("acme/${a}/", "three parts"),
        ("acme/${groups[0}/x", "`groups\\[0` is no claim"),
        ("acme/${}/x", "`` is no claim"),
        ("acme/${a b}/x", "is no claim"),
        ("acme/${a.}/x", "is no claim"),
        ("acme/${[0]}/x", "is no claim"),
        ("acme/${a[-1]}/x", "is no claim"),
        ("acme/$a/x", "both braces"),
        ("acme/{a}/x", "both braces"),
        ("acme/${a/x", "both braces"),
        ("acme/${a}}/x", "both braces"),
        ("acme/a b/x", "only letters"),
        ("acme/ä/x", "only letters"),
    ],
)
def test_templates_that_cannot_work(template: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compile_template(template)


@given(st.text() | st.integers() | st.lists(st.text(), max_size=2), st.text())
def test_a_claim_never_leaves_its_segment(first: Any, second: str) -> None:
    try:
        path = compile_template("acme/t-${a}/${b}")({"a": first, "b": second})
    except GatewayError:
        return
    organisation, team, application = path.split("/")
    assert organisation == "acme"
    assert team.startswith("t-")
    assert application == second


@pytest.mark.parametrize("path", ["acme/search/indexer", "a/b/c", "a.b/c_d/e-f"])
def test_paths(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "value",
    ["", "a", "a/b", "a/b/c/d", "a//c", "/b/c", "a/../c", "a/./c", "a/b/c\n", "a/b c/d", "a/ä/c", None, 3, ["a/b/c"]],
)
def test_what_is_no_path(value: object) -> None:
    with pytest.raises(GatewayError) as refusal:
        check_path(value)
    assert refusal.value.kind is Kind.FORBIDDEN


def test_finding_claims() -> None:
    assert find_claim(CLAIMS, parse_claim("org.units[0].name")) == "x1"
    assert find_claim(CLAIMS, parse_claim("nothing")) is MISSING
    assert find_claim({"a": False}, parse_claim("a")) is False
