"""Names before patterns, long patterns before short ones, and nothing selected means everything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.pipeline.matching import NameTable, find_dividing, is_match, is_selected


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("gpt-4", "gpt-4", True),
        ("gpt-4", "gpt-4o", False),
        ("gpt-*", "gpt-4", True),
        ("gpt-*", "gpt-", True),
        ("gpt-*", "GPT-4", False),
        ("*", "", True),
        ("*", "anything/at all", True),
        ("acme/*", "acme/search/indexer", True),
        ("acme/*", "acme", False),
        ("", "", True),
    ],
)
def test_a_pattern_is_a_name_or_a_beginning(pattern: str, name: str, matches: bool) -> None:
    assert is_match(pattern, name) is matches


def test_no_patterns_select_everything_and_any_of_many_is_enough() -> None:
    assert is_selected([], "x")
    assert is_selected(["a", "x*"], "xy")
    assert not is_selected(["a", "b*"], "x")


@pytest.mark.parametrize(
    ("published", "dividing"),
    [
        ("gpt-*", ("gpt-5*", "gpt-4.1", "gpt-")),
        ("gpt-5*", ()),
        ("gpt-4.1", ()),
        ("*", ("gpt-5*", "gpt-4.1", "gpt-", "g*", "gpt-*", "o3")),
        ("claude-*", ()),
    ],
)
def test_selectors_that_divide_a_published_pattern(published: str, dividing: tuple[str, ...]) -> None:
    selectors = ["*", "gpt-5*", "gpt-4.1", "gpt-", "g*", "gpt-*", "gpt-5*", "o3"]
    assert find_dividing(published, selectors) == dividing


def test_exact_before_longest_before_shorter() -> None:
    table = NameTable({"*": 1, "gpt-*": 2, "gpt-4*": 3, "gpt-4": 4})
    assert [table.find(name) for name in ("gpt-4", "gpt-4o", "gpt-5", "o3", "")] == [4, 3, 2, 1, 1]
    assert dict(table.exact()) == {"gpt-4": 4}
    assert NameTable({"a*": 1}).find("b") is None


@given(
    st.dictionaries(st.from_regex(r"[ab]{0,4}\*?", fullmatch=True), st.integers(), max_size=8),
    st.text("ab*", max_size=5),
)
def test_finds_what_a_search_through_all_entries_finds(entries: dict[str, int], name: str) -> None:
    fitting = [key for key in entries if is_match(key, name) and (key.endswith("*") or key == name)]
    exact = [key for key in fitting if key == name and not key.endswith("*")]
    best = exact or sorted(fitting, key=len, reverse=True)
    assert NameTable(entries).find(name) == (entries[best[0]] if best else None)
