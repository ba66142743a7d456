import enum
from typing import Annotated, Any, Literal

import msgspec.inspect as mi
import pytest
from msgspec import Meta, Struct, field

from gatewright.config.documents import Gateway, Target
from gatewright.config.fill import bare, choices, default, filler
from gatewright.core.secret import Secret


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Picky(Struct):
    word: str

    def __post_init__(self) -> None:
        if not self.word:
            raise ValueError("empty")


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (int, 0),
        (str, ""),
        (bool, False),
        (float, 0.0),
        (list[int], []),
        (dict[str, int], {}),
        (set[str], set()),
        (frozenset[str], frozenset()),
        (tuple[int, ...], ()),
        (tuple[int, str], (0, "")),
        (int | None, None),
        (int | str, 0),
        (Literal["a", "b"], "a"),
        (Colour, Colour.RED),
        (Any, None),
        (None, None),
        (Secret, Secret("")),
        (Annotated[str, Meta(min_length=3, description="x")], ""),
        (Target, Target(provider="")),
        (Gateway, Gateway()),
        (Picky, None),
    ],
)
def test_every_type_has_an_empty_value(type_: object, value: object) -> None:
    made = filler(mi.type_info(type_))
    assert made == value
    assert type(made) is type(value)


def test_choices_are_what_is_written_with_what_it_means() -> None:
    assert choices(mi.type_info(Literal["a", "b"])) == [("a", "a"), ("b", "b")]
    assert choices(mi.type_info(Colour)) == [("red", Colour.RED), ("blue", Colour.BLUE)]


def test_defaults_are_made_anew() -> None:
    class Holder(Struct):
        items: list[int] = field(default_factory=list)
        count: int = 3

    items, count = mi.type_info(Holder).fields
    assert default(items) == []
    assert default(items) is not default(items)
    assert default(count) == 3


def test_a_description_is_taken_off() -> None:
    assert bare(mi.type_info(Annotated[int, Meta(description="x")])) == mi.type_info(int)
