import enum
from typing import Annotated, Any, Literal

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings
from msgspec import Meta, Struct

from gatewright.config.check import MAX_ERRORS, convert, salvage
from gatewright.config.documents import Application, Document, Gateway, Model, ProviderConfig, Selector, Target
from gatewright.config.references import UNRESOLVED, CelText
from gatewright.core.secret import Secret


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Circle(Document, tag_field="shape", tag="circle"):
    radius: float


class Square(Document, tag_field="shape", tag="square"):
    side: int


class Every(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field of every kind."""

    needed: str
    count: Annotated[int, Meta(ge=1, le=10)] = 1
    even: Annotated[int, Meta(multiple_of=2, description="an even number")] = 0
    ratio: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    on: bool = False
    word: Annotated[str, Meta(min_length=2, max_length=4, pattern="^[a-z]+$")] = "abc"
    mode: Literal["auto", "json", "off"] = "auto"
    level: Level = Level.LOW
    names: Annotated[list[str], Meta(max_length=2)] = []
    unique: frozenset[int] = frozenset()
    chosen: set[str] = set()
    pair: tuple[int, str] = (0, "")
    more: tuple[int, ...] = ()
    by_name: Annotated[dict[str, int], Meta(max_length=2)] = {}
    short_names: dict[Annotated[str, Meta(max_length=3)], int] = {}
    inner: Target | None = None
    either: int | str | list[int] | None = None
    figure: Circle | Square | None = None
    key: Secret | None = None
    headers: dict[str, Secret] = {}
    free: Any = None
    nothing: None = None


def messages(value: object, type_: Any = Every, path: str = "") -> list[str]:
    typed, errors = convert(value, type_, path)
    assert (typed is None) == bool(errors)
    return [str(error) for error in errors]


def good(**fields: object) -> Every:
    typed, errors = convert({"needed": "x", **fields}, Every)
    assert errors == []
    assert typed is not None
    return typed


def wrong(**fields: object) -> list[str]:
    return messages({"needed": "x", **fields})


def test_what_is_right_becomes_the_document() -> None:
    assert good() == Every(needed="x")
    typed = good(
        count=3, even=4, ratio=0.25, on=True, word="ab", mode="off", level="high", names=["a"], unique=[1, 1, 2],
        chosen=["a"], pair=[1, "b"], more=[1, 2], by_name={"a": 1}, short_names={"abc": 1}, inner={"provider": "p"},
        either=[1], figure={"shape": "square", "side": 2}, key=Secret("k"), headers={"a": "b", "c": Secret("d")},
        free={"any": [1]}, nothing=None,
    )  # fmt: skip
    assert typed == Every(
        needed="x", count=3, even=4, ratio=0.25, on=True, word="ab", mode="off", level=Level.HIGH, names=["a"],
        unique=frozenset({1, 2}), chosen={"a"}, pair=(1, "b"), more=(1, 2), by_name={"a": 1}, short_names={"abc": 1},
        inner=Target(provider="p"), either=[1], figure=Square(side=2), key=Secret("k"),
        headers={"a": Secret("b"), "c": Secret("d")}, free={"any": [1]}, nothing=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"count": 0}, "count: must be between 1 and 10, found 0"),
        ({"count": "3"}, 'count: expected a whole number, found the text "3"; write it without quotes'),
        ({"count": "03"}, 'count: expected a whole number, found the text "03"; write it without the leading zero'),
        ({"count": "1_000"}, 'count: expected a whole number, found the text "1_000"; write 1000'),
        ({"count": "many"}, 'count: expected a whole number, found the text "many"'),
        ({"count": 1.5}, "count: expected a whole number, found the number 1.5"),
        ({"count": True}, "count: expected a whole number, found true"),
        ({"count": None}, "count: expected a whole number, found nothing; give it a value, or remove the key"),
        (
            {"count": Secret("3")},
            "count: expected a whole number, found a reference; a reference gives text, so write the number itself",
        ),
        ({"even": 3}, "even: must be a multiple of 2, found 3"),
        ({"ratio": 1}, "ratio: must be greater than 0 and less than 1, found 1"),
        ({"ratio": float("nan")}, "ratio: must be greater than 0 and less than 1, found nan"),
        ({"ratio": "half"}, 'ratio: expected a number, found the text "half"'),
        ({"on": "yes"}, 'on: expected true or false, found the text "yes"; write true'),
        ({"on": "off"}, 'on: expected true or false, found the text "off"; write false'),
        ({"on": "true"}, 'on: expected true or false, found the text "true"; write true without quotes'),
        ({"on": 1}, "on: expected true or false, found the number 1"),
        ({"needed": 1.1}, "needed: expected text, found a number; put it in quotes"),
        ({"needed": True}, "needed: expected text, found true; put it in quotes"),
        ({"needed": ["x"]}, "needed: expected text, found a list"),
        ({"needed": None}, "needed: expected text, found nothing; give it a value, or remove the key"),
        ({"word": "a"}, "word: must have 2 to 4 characters, found 1"),
        ({"word": "A1"}, "word: must match the pattern ^[a-z]+$"),
        (
            {"mode": "jsn"},
            'mode: expected one of `auto`, `json`, `off`, found the text "jsn"; did you mean `json`?',
        ),
        ({"mode": False}, "mode: expected one of `auto`, `json`, `off`, found false"),
        ({"level": "hi"}, 'level: expected one of `low`, `high`, found the text "hi"; did you mean `high`?'),
        (
            {"names": "a"},
            "names: expected a list, found text; begin each entry with a dash, or put the entries in brackets: "
            "[one, two]",
        ),
        ({"names": ["a", "b", "c"]}, "names: needs at most 2 entries, found 3"),
        ({"names": ["a", 5]}, "names[1]: expected text, found a number; put it in quotes"),
        ({"pair": [1]}, "pair: needs exactly 2 entries, found 1"),
        ({"pair": 1}, "pair: expected a list, found a number"),
        ({"pair": [1, 2]}, "pair[1]: expected text, found a number; put it in quotes"),
        ({"by_name": ["a"]}, "by_name: expected a mapping, found a list; write `name: value` lines below it"),
        ({"by_name": {"a": 1, "b": 2, "c": 3}}, "by_name: needs at most 2 entries, found 3"),
        ({"by_name": {"a": "b"}}, 'by_name.a: expected a whole number, found the text "b"'),
        ({"short_names": {"long": 1}}, "short_names.long: must have at most 3 characters, found 4"),
        (
            {"inner": "openai"},
            "inner: expected a mapping, found text; its keys are `provider`, `model`, `weight`",
        ),
        ({"inner": {}}, "inner: `provider` is missing; add `provider: …` (text)"),
        ({"inner": {"provder": "a", "provider": "b"}}, "inner.provder: unknown key; did you mean `provider`?"),
        (
            {"inner": {"provider": "b", "zzz": 1}},
            "inner.zzz: unknown key; the keys here are `provider`, `model`, `weight`",
        ),
        ({"either": True}, "either: expected a whole number or text or a list, found true"),
        ({"either": None, "count": 11}, "count: must be between 1 and 10, found 11"),
        ({"either": {"a": 1}}, "either: expected a whole number or text or a list, found a mapping"),
        ({"either": b"x"}, "either: expected a whole number or text or a list, found a bytes"),
        ({"either": [1, "b"]}, 'either[1]: expected a whole number, found the text "b"'),
        ({"figure": {"side": 1}}, "figure: `shape` is missing; it is one of `circle`, `square`"),
        (
            {"figure": {"shape": "squar"}},
            "figure.shape: expected one of `circle`, `square`; did you mean `square`?",
        ),
        ({"figure": {"shape": "circle"}}, "figure: `radius` is missing; add `radius: …` (a number)"),
        ({"figure": {"shape": "circle", "radius": 1, "x": 1}},
         "figure.x: unknown key; the keys here are `shape`, `radius`"),
        ({"figure": 3}, "figure: expected a mapping, found a number"),
        (
            {"key": "sk-live"},
            "key: a secret must not stand in the file; keep it in the environment or in a file of its own and write "
            'a reference, "${env:NAME}" or "${file:/path}"',
        ),
        ({"key": 5}, 'key: expected a reference, "${env:NAME}" or "${file:/path}", found a number'),
        ({"headers": {"a": 5}}, 'headers.a: expected a reference, "${env:NAME}" or "${file:/path}", found a number'),
        ({"nothing": 1}, "nothing: expected nothing, found a number; remove the value"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_plain_words(fields: dict[str, object], message: str) -> None:
    assert wrong(**fields) == [message]


def test_everything_is_told_at_once_and_below_the_given_path() -> None:
    assert messages({"cuont": 1, "ratio": 2, "inner": {"weight": -1}}, path="providers.x") == [
        "providers.x.cuont: unknown key; did you mean `count`?",
        "providers.x: `needed` is missing; add `needed: …` (text)",
        "providers.x.ratio: must be greater than 0 and less than 1, found 2",
        "providers.x.inner: `provider` is missing; add `provider: …` (text)",
        "providers.x.inner.weight: must be between 0 and 1000000, found -1",
    ]


@pytest.mark.parametrize("value", [None, 1, "x", [], True, Secret("x")])
def test_the_whole_may_be_wrong(value: object) -> None:
    (message,) = messages(value, Selector)
    assert message.startswith("expected a mapping, found ")


def test_a_section_with_nothing_in_it_counts_as_not_written() -> None:
    document, errors = convert({"models": None, "policies": None, "limits": None, "tls": None}, Gateway)
    assert errors == []
    assert document == Gateway()


def test_a_required_section_must_have_something_in_it() -> None:
    (message,) = messages({"targets": None}, Model)
    assert message == "targets: expected a list, found nothing; give it a value, or remove the key"


def test_whole_numbers_may_be_written_with_exponent_or_point() -> None:
    assert good(count=3.0, even=1e3).even == 1000


def test_plain_text_takes_the_value_of_a_reference() -> None:
    typed = good(needed=Secret("v"), word=Secret("abc"), mode=Secret("json"), names=[Secret("n")], either=Secret("e"))
    assert (typed.needed, typed.word, typed.mode, typed.names, typed.either) == ("v", "abc", "json", ["n"], "e")


def test_plain_text_keeps_a_literal_only_where_it_may_be_no_secret() -> None:
    provider, errors = convert({"type": "x", "headers": {"x-team": "search"}}, ProviderConfig)
    assert errors == []
    assert provider is not None
    assert provider.headers == {"x-team": Secret("search")}


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        ({"keys": ["sk-live"]}, Application),
        ({"type": "x", "key": "sk-live"}, ProviderConfig),
        ({"type": "x", "key": ["sk-live"]}, ProviderConfig),
        ({"type": "x", "headers": "sk-live"}, ProviderConfig),
        ("sk-live", ProviderConfig),
        ({"needed": "x", "word": Secret("sk-live")}, Every),
        ({"needed": "x", "mode": Secret("sk-live")}, Every),
        ({"needed": "x", "count": Secret("sk-live")}, Every),
        ({"needed": "x", "inner": "sk-live"}, Every),
    ],
)
def test_no_message_shows_what_may_be_a_secret(value: object, type_: type) -> None:
    (message,) = messages(value, type_)
    assert "sk-live" not in message


def test_a_pattern_with_a_description_is_told_in_its_words() -> None:
    (message,) = messages({"keys": ["oops"]}, Application)
    assert message == "keys[0]: expected the hash of a key, `sha256:` and 64 small hex digits"


def test_a_reference_that_failed_is_not_told_again() -> None:
    typed, errors = salvage({"needed": UNRESOLVED, "count": UNRESOLVED, "inner": UNRESOLVED, "key": UNRESOLVED}, Every)
    assert errors == []
    assert typed == Every(needed="", key=None)


def test_a_type_has_the_last_word_on_values_that_are_right_each() -> None:
    class Span(Document):
        low: int
        high: int

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("`low` must not be above `high`")

    assert messages({"low": 2, "high": 1}, Span, "span") == ["span: `low` must not be above `high`"]
    assert messages({"low": 1, "high": "x"}, Span) == ['high: expected a whole number, found the text "x"']
    assert convert({"low": 1, "high": 1}, Span) == (Span(low=1, high=1), [])


def test_a_tag_that_stands_alone_is_checked() -> None:
    assert messages({"shape": "square", "radius": 1}, Circle) == ["shape: expected `circle`"]
    assert convert({"shape": "circle", "radius": 1}, Circle) == (Circle(radius=1.0), [])


def test_unknown_keys_are_kept_out_of_the_way_where_the_type_says_so() -> None:
    class Lenient(Struct):
        a: int = 1

    assert convert({"b": 2}, Lenient) == (Lenient(), [])


def test_salvage_puts_empty_values_where_wrong_ones_were() -> None:
    raw = {
        "listen": 5,
        "limits": {"body_bytes": "x", "header_count": 10},
        "models": {"a": {"targets": [{"model": "m", "weight": 7}, "wrong"], "fallback": 3, "attempts": 99}},
        "providers": {"p": "wrong"},
    }
    document, errors = salvage(raw, Gateway)
    assert len(errors) == 7
    assert document == Gateway(
        limits=msgspec.structs.replace(Gateway().limits, header_count=10),
        models={"a": Model(targets=[Target(provider="", model="m", weight=7), Target(provider="")])},
        providers={"p": {}},
    )


def test_rubbish_is_told_only_so_often() -> None:
    assert len(messages({f"key{i}": i for i in range(10_000)}, Gateway)) == MAX_ERRORS
    assert len(messages({"policies": [5] * 10_000}, Gateway)) == MAX_ERRORS


def test_a_type_that_no_document_may_hold_is_a_mistake_in_the_program() -> None:
    class Bad(Struct):
        raw: msgspec.Raw

    class AlsoBad(Struct):
        other: Model | None = None
        custom: complex = 0j

    with pytest.raises(TypeError, match=r"cannot hold a RawType \(x\.raw\)"):
        convert({"raw": 1}, Bad, "x")
    with pytest.raises(TypeError, match=r"cannot hold a complex \(custom\)"):
        convert({"custom": 1}, AlsoBad)


class Plain(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What msgspec and the checker must agree on: no secrets, no sections that may be empty."""

    count: Annotated[int, Meta(ge=1, le=10)]
    ratio: Annotated[float, Meta(gt=0)] = 0.5
    on: bool = False
    word: Annotated[str, Meta(min_length=1, max_length=3)] = "a"
    mode: Literal["auto", "off"] = "auto"
    either: int | str | None = None
    names: list[str] = []
    pair: tuple[int, str] = (0, "")
    by_name: dict[str, Selector] = {}
    figure: Circle | Square | None = None


scalars = st.none() | st.booleans() | st.integers(-2, 12) | st.floats(width=16) | st.sampled_from(
    ["", "a", "abcd", "auto", "off", "circle", "square"]
)  # fmt: skip
keys = st.sampled_from([*Plain.__struct_fields__, "models", "consumers", "shape", "radius", "side", "typo"])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=8
)
likely = st.fixed_dictionaries(
    {"count": st.integers(0, 11)},
    optional={
        "ratio": st.floats(width=16) | st.integers(-1, 2),
        "on": st.booleans() | values,
        "word": st.text(max_size=4),
        "mode": st.sampled_from(["auto", "off", "x"]),
        "either": scalars,
        "names": st.lists(st.text(max_size=2) | scalars, max_size=2),
        "pair": st.tuples(st.integers(), st.text(max_size=2)).map(list) | values,
        "by_name": st.dictionaries(st.text(max_size=2), st.dictionaries(keys, st.lists(st.text()), max_size=2)),
        "figure": st.fixed_dictionaries({"shape": scalars}, optional={"radius": scalars, "side": scalars}),
    },
)


def has_kindness(value: object, key: str = "") -> bool:
    """Whether the checker is meant to accept what msgspec refuses, or the other way round."""
    if isinstance(value, dict):
        return any(has_kindness(child, name) for name, child in value.items())
    if isinstance(value, list):
        return any(has_kindness(child, key) for child in value)
    return value is None or isinstance(value, float)


@settings(max_examples=150, deadline=None)
@given(value=likely | values)
def test_what_is_accepted_is_what_msgspec_accepts(value: object) -> None:
    typed, errors = convert(value, Plain)
    assert (typed is None) == bool(errors)
    try:
        reference = msgspec.convert(value, Plain)
    except msgspec.ValidationError:
        assert errors or has_kindness(value)
    else:
        assert errors == []
        assert typed == reference


class Rule(Document, frozen=True):
    when: Annotated[CelText, Meta(max_length=9)] | None = None


def test_an_expression_takes_no_reference() -> None:
    assert convert({"when": "a == b"}, Rule) == (Rule(when="a == b"), [])
    for value in (Secret("a == 'sk-live-1'"), Secret("a")):
        document, errors = convert({"when": value}, Rule)
        assert document is None
        assert [error.path for error in errors] == ["when"]
        assert "takes no reference" in errors[0].message
        assert "sk-live" not in errors[0].message
    assert convert({"when": UNRESOLVED}, Rule)[1] == []
    assert "at most 9" in convert({"when": "a" * 10}, Rule)[1][0].message
