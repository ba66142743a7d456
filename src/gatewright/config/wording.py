"""How errors name types and values, so that every message reads the same."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec.inspect as mi

from gatewright.config.fill import choices
from gatewright.core.secret import Secret

SECRET_FORM: Final = 'a reference, "${env:NAME}" or "${file:/path}"'
_LONGEST: Final = 40
_KINDS: Final[dict[type[mi.Type], str]] = {
    mi.AnyType: "a value",
    mi.NoneType: "nothing",
    mi.BoolType: "true or false",
    mi.IntType: "a whole number",
    mi.FloatType: "a number",
    mi.StrType: "text",
    mi.ListType: "a list",
    mi.SetType: "a list",
    mi.FrozenSetType: "a list",
    mi.VarTupleType: "a list",
    mi.TupleType: "a list",
    mi.DictType: "a mapping",
    mi.StructType: "a mapping",
    mi.CustomType: SECRET_FORM,
}


def expected(kind: mi.Type) -> str:
    """What a value of this type looks like: `a whole number`, `one of json, text, off`."""
    if isinstance(kind, mi.Metadata):
        return expected(kind.type)
    if isinstance(kind, mi.LiteralType | mi.EnumType):
        return f"one of {listing(str(written) for written, _ in choices(kind))}"
    if isinstance(kind, mi.UnionType):
        return " or ".join(dict.fromkeys(expected(one) for one in kind.types if not isinstance(one, mi.NoneType)))
    return _KINDS[type(kind)]


def found(value: object) -> str:
    """What stands there instead, with its value where that is short and cannot be a secret."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {number(value)}"
        case str():
            return f'the text "{shortened(value)}"' if value else "empty text"
        case Secret():
            return "a reference"
        case list() | tuple():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return f"a {type(value).__name__}"


def shape(value: object) -> str:
    """What stands there, without its value: for places where people put secrets by mistake."""
    if isinstance(value, str):
        return "text" if value else "empty text"
    return "a number" if isinstance(value, int | float) and not isinstance(value, bool) else found(value)


def number(value: float) -> str:
    """A number as people write it: no `.0`."""
    return str(int(value)) if abs(value) < 1e15 and value == int(value) else str(value)


def bounds(ge: float | None, gt: float | None, le: float | None, lt: float | None) -> str:
    """The sentence of a number's limits: `between 1 and 10`, `greater than 0 and at most 86400`."""
    if ge is not None and le is not None:
        return f"between {number(ge)} and {number(le)}"
    limits = (("at least", ge), ("greater than", gt), ("at most", le), ("less than", lt))
    return " and ".join(f"{words} {number(limit)}" for words, limit in limits if limit is not None)


def amount(low: int | None, high: int | None, unit: str) -> str:
    """The sentence of a length's limits: `at least 1 entry`, `2 to 4 entries`."""
    plural = unit[:-1] + "ies" if unit.endswith("y") else unit + "s"
    if low is not None and high is not None:
        return f"{low} to {high} {plural}" if low != high else f"exactly {low} {unit if low == 1 else plural}"
    if low is not None:
        return f"at least {low} {unit if low == 1 else plural}"
    return f"at most {high} {unit if high == 1 else plural}"


def listing(words: Iterable[str]) -> str:
    """Words in backquotes, joined by commas."""
    return ", ".join(f"`{word}`" for word in words)


def suggestion(word: str, options: Sequence[str]) -> str | None:
    """The option that was probably meant."""
    if len(word) > 2 * _LONGEST:  # comparing is quadratic, and such a word is no slip of the finger
        return None
    folded = {option.casefold().replace("-", "_"): option for option in options}
    close = difflib.get_close_matches(word.casefold().replace("-", "_"), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def shortened(text: str) -> str:
    """Text that fits into a message, on one line."""
    shown = text[: _LONGEST + 1]
    shown = shown if shown.isprintable() else repr(shown)[1:-1]
    return shown if len(text) <= _LONGEST and len(shown) <= 2 * _LONGEST else shown[:_LONGEST] + "…"
