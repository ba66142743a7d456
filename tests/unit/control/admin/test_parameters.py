"""Cursors, text in queries, and what every operation declares."""

from __future__ import annotations

import re

import pytest
from tests.control.admin_api import AdminApi

from gatewright.control.admin.parameters import PLAIN, cut, parse_cursor, render_cursor, responses
from gatewright.control.admin.problems import Problem, ProblemDetails
from gatewright.control.exchanges import Place


@pytest.mark.parametrize("place", ["acme/a/b", "", "ü/ß", 5, 0])
def test_a_cursor_comes_back_as_it_went(place: object) -> None:
    assert parse_cursor(render_cursor(place), type(place)) == place


def test_a_cursor_of_several_parts_comes_back_too() -> None:
    place = Place(1_780_000_000_000_000, "journal-1", 7)
    assert parse_cursor(render_cursor(place), Place) == place


@pytest.mark.parametrize(
    "cursor", ["x", "====", "é", "a b", "Ij", render_cursor({"a": 1}), render_cursor([1]), "\x00", "A" * 1999]
)
def test_what_was_never_given_out_is_refused(cursor: str) -> None:
    with pytest.raises(Problem) as refused:
        parse_cursor(cursor, int)
    assert refused.value.status == 422


@pytest.mark.parametrize("number", [10**30, -1, 2**63])
def test_a_number_that_no_database_holds_was_never_given_out(number: int) -> None:
    for cursor, type_ in ((render_cursor(number), int), (render_cursor([1, "journal", number]), Place)):
        with pytest.raises(Problem) as refused:
            parse_cursor(cursor, type_)
        assert refused.value.status == 422


def test_no_cursor_is_the_beginning() -> None:
    assert parse_cursor("", int) is None


@pytest.mark.parametrize(("words", "is_plain"), [("gpt-4.1 ü", True), ("", True), ("a\x00", False), ("a\r\nb", False)])
def test_plain_text_has_no_control_characters(words: str, is_plain: bool) -> None:
    assert bool(re.search(PLAIN, words)) is is_plain


def test_every_failure_is_declared_with_its_kinds() -> None:
    declared = responses(404)
    assert {400, 401, 403, 404, 503} <= declared.keys()
    assert 409 not in declared
    assert all(spec.data_container is ProblemDetails for spec in declared.values())
    assert "no-admin-key" in (declared[403].description or "")


@pytest.mark.parametrize(
    ("query", "status"),
    [("limit=5", 200), ("limit=5&cursor=", 200), ("limt=5", 400), ("services=1", 400), ("actor=x", 400)],
)
def test_an_unknown_parameter_is_refused(api: AdminApi, query: str, status: int) -> None:
    assert api.ask("GET", f"/budgets?{query}")[0] == status


@pytest.mark.parametrize(("count", "page", "behind"), [(0, [], None), (2, [0, 1], None), (3, [0, 1], 10)])
def test_a_page_is_cut_from_what_was_found(count: int, page: list[int], behind: int | None) -> None:
    items, cursor = cut(list(range(count)), 2, lambda item: item * 10)
    assert (items, parse_cursor(cursor or "", int)) == (page, behind)
