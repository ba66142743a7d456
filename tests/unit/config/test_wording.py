import enum
from typing import Annotated, Literal

import msgspec.inspect as mi
import pytest
from msgspec import Meta

from gatewright.config.documents import Target
from gatewright.config.wording import amount, bounds, expected, found, listing, number, shape, shortened, suggestion
from gatewright.core.secret import Secret


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("type_", "words"),
    [
        (int, "a whole number"),
        (float, "a number"),
        (bool, "true or false"),
        (str, "text"),
        (list[int], "a list"),
        (tuple[int, str], "a list"),
        (dict[str, int], "a mapping"),
        (Target, "a mapping"),
        (int | None, "a whole number"),
        (int | str, "a whole number or text"),
        (Literal["b", "a"], "one of `a`, `b`"),
        (Colour, "one of `red`"),
        (Annotated[int, Meta(description="x")], "a whole number"),
        (Secret, 'a reference, "${env:NAME}" or "${file:/path}"'),
    ],
)
def test_what_is_expected(type_: object, words: str) -> None:
    assert expected(mi.type_info(type_)) == words


@pytest.mark.parametrize(
    ("value", "words", "form"),
    [
        (None, "nothing", "nothing"),
        (True, "true", "true"),
        (5, "the number 5", "a number"),
        (5.0, "the number 5", "a number"),
        (0.5, "the number 0.5", "a number"),
        ("x", 'the text "x"', "text"),
        ("", "empty text", "empty text"),
        ([1], "a list", "a list"),
        ({}, "a mapping", "a mapping"),
        (Secret("sk"), "a reference", "a reference"),
        (b"x", "a bytes", "a bytes"),
    ],
)
def test_what_was_found(value: object, words: str, form: str) -> None:
    assert found(value) == words
    assert shape(value) == form


def test_limits_of_numbers() -> None:
    assert bounds(1, None, 10, None) == "between 1 and 10"
    assert bounds(None, 0, 86_400, None) == "greater than 0 and at most 86400"
    assert bounds(1, None, None, None) == "at least 1"
    assert bounds(None, None, None, 0.5) == "less than 0.5"


def test_limits_of_lengths() -> None:
    assert amount(1, None, "entry") == "at least 1 entry"
    assert amount(2, None, "entry") == "at least 2 entries"
    assert amount(None, 1, "character") == "at most 1 character"
    assert amount(2, 4, "character") == "2 to 4 characters"
    assert amount(2, 2, "entry") == "exactly 2 entries"
    assert amount(1, 1, "entry") == "exactly 1 entry"


def test_numbers_are_written_as_people_do() -> None:
    assert [number(n) for n in (1.0, 86_400.0, 0.5, 2**53, 1e300, float("inf"))] == [
        "1", "86400", "0.5", "9007199254740992", "1e+300", "inf",
    ]  # fmt: skip


def test_the_word_that_was_meant() -> None:
    assert suggestion("provder", ["provider", "model"]) == "provider"
    assert suggestion("Max-Connections", ["max_connections", "key"]) == "max_connections"
    assert suggestion("zzz", ["provider"]) is None
    assert suggestion("p" * 10_000, ["p" * 9_999]) is None
    assert suggestion("x", []) is None


def test_text_is_cut_and_kept_on_one_line() -> None:
    assert shortened("a\nb") == "a\\nb"
    assert shortened("x" * 40) == "x" * 40
    assert shortened("x" * 41) == "x" * 40 + "…"
    assert len(shortened("\x00" * 100_000)) == 41
    assert listing(["a", "b"]) == "`a`, `b`"
