"""Plain data to a typed document, with every problem at once and the words to mend it.

`msgspec.convert` stops at the first problem and speaks to programmers. This walks the same type information and
speaks to operators; what it accepts is what msgspec accepts, but for three kindnesses and one refusal:

- text from a reference is a `Secret`, and a field of plain text takes its value;
- a section with nothing in it (every line commented out) counts as not written;
- a whole number may be written with an exponent or `.0`;
- a field that is a `Secret` takes a reference only, so that no key stands in a file. The values of a mapping
  (`headers`) may be plain text too, since not all of them are secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

import msgspec.inspect as mi

from gatewright.config import wording
from gatewright.config.fill import bare, choices, default, filler
from gatewright.config.problems import ConfigError
from gatewright.config.references import UNRESOLVED, WRITTEN_OUT
from gatewright.config.tree import join
from gatewright.core.secret import Secret

T = TypeVar("T")

MAX_ERRORS: Final = 200
"""Problems told at once; nobody reads more, and a file of rubbish must not cost minutes."""

EMPTY_COUNTS_AS_ABSENT: Final = (
    mi.StructType,
    mi.DictType,
    mi.ListType,
    mi.SetType,
    mi.FrozenSetType,
    mi.VarTupleType,
)
"""Types of a section: one with nothing in it (every line commented out) is as good as none."""


def convert(value: object, type_: type[T], path: str = "") -> tuple[T | None, list[ConfigError]]:
    """The value as a `type_`, or None with every reason why it is not one, each at its path below `path`."""
    typed, errors = salvage(value, type_, path)
    return (None if errors else typed), errors


def salvage(value: object, type_: type[T], path: str = "") -> tuple[T, list[ConfigError]]:
    """Like `convert`, but what is wrong is replaced by its default or by an empty value of the right type.

    With errors, the result serves only to look for further problems: what cannot be read is missing from it.
    """
    checker = _Checker()
    typed: T = checker.value(_type_info(cast(Hashable, type_)), value, path)
    return typed, checker.errors


@lru_cache(maxsize=256)
def _type_info(type_: Any) -> mi.Type:
    return mi.type_info(type_)


class _Checker:
    """One walk over one value."""

    def __init__(self) -> None:
        self.errors: list[ConfigError] = []

    def report(self, path: str, message: str) -> None:
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(ConfigError(path, message))

    def value(self, kind: mi.Type, value: object, path: str) -> Any:
        """The value as this kind, or what stands in for it, the reason reported."""
        if value is UNRESOLVED:
            return filler(kind)
        handler = _HANDLERS.get(type(kind))
        if handler is None:
            raise TypeError(f"a configuration cannot hold a {type(kind).__name__} ({path or 'at the top'})")
        return handler(self, kind, value, path)

    def mismatch(self, kind: mi.Type, value: object, path: str, hint: str = "") -> Any:
        """Report a value of the wrong type."""
        if value is None:
            hint = "give it a value, or remove the key"
        saw = wording.found(value) if isinstance(kind, _SHOWN) else wording.shape(value)
        self.report(path, f"expected {wording.expected(kind)}, found {saw}" + (f"; {hint}" if hint else ""))
        return filler(kind)

    def anything(self, kind: mi.AnyType, value: object, path: str) -> Any:
        return value

    def nothing(self, kind: mi.NoneType, value: object, path: str) -> Any:
        return None if value is None else self.mismatch(kind, value, path, "remove the value")

    def boolean(self, kind: mi.BoolType, value: object, path: str) -> Any:
        if isinstance(value, bool):
            return value
        word = value.casefold() if isinstance(value, str) else ""
        meant = "true" if word in ("yes", "on", "true", "y") else "false" if word in ("no", "off", "false", "n") else ""
        quotes = " without quotes" if word == meant else ""
        return self.mismatch(kind, value, path, f"write {meant}{quotes}" if meant else "")

    def integer(self, kind: mi.IntType, value: object, path: str) -> Any:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            return self.mismatch(kind, value, path, _number_hint(value))
        return self._in_bounds(kind, value, path)

    def real(self, kind: mi.FloatType, value: object, path: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self.mismatch(kind, value, path, _number_hint(value))
        return self._in_bounds(kind, float(value), path)

    def _in_bounds(self, kind: mi.IntType | mi.FloatType, value: int | float, path: str) -> Any:
        # Written so that NaN, which compares false with everything, is out of every bound.
        fits = (
            (kind.ge is None or value >= kind.ge)
            and (kind.gt is None or value > kind.gt)
            and (kind.le is None or value <= kind.le)
            and (kind.lt is None or value < kind.lt)
        )
        if not fits:
            limits = wording.bounds(kind.ge, kind.gt, kind.le, kind.lt)
            self.report(path, f"must be {limits}, found {wording.number(value)}")
        elif kind.multiple_of is not None and value % kind.multiple_of:
            step = wording.number(kind.multiple_of)
            self.report(path, f"must be a multiple of {step}, found {wording.number(value)}")
        return value

    def text(self, kind: mi.StrType, value: object, path: str, meaning: str = "") -> Any:
        if isinstance(value, Secret):
            value = value.reveal()
        if not isinstance(value, str):
            scalar = isinstance(value, bool | int | float)
            return self.mismatch(kind, value, path, "put it in quotes" if scalar else "")
        if not _is_within(len(value), kind.min_length, kind.max_length):
            wanted = wording.amount(kind.min_length, kind.max_length, "character")
            self.report(path, f"must have {wanted}, found {len(value)}")
        elif kind.pattern is not None and not re.search(kind.pattern, value):
            # The value is not shown: where a hash is expected, people paste the key itself.
            self.report(path, f"expected {meaning}" if meaning else f"must match the pattern {kind.pattern}")
        return value

    def secret(self, kind: mi.CustomType, value: object, path: str) -> Any:
        if kind.cls is not Secret:
            raise TypeError(f"a configuration cannot hold a {kind.cls.__name__} ({path or 'at the top'})")
        if isinstance(value, Secret):
            return value
        if isinstance(value, str):
            advice = "a secret must not stand in the file; keep it in the environment or in a file of its own and write"
            self.report(path, f"{advice} {wording.SECRET_FORM}")
            return filler(kind)
        return self.mismatch(kind, value, path)

    def choice(self, kind: mi.LiteralType | mi.EnumType, value: object, path: str) -> Any:
        plain = value.reveal() if isinstance(value, Secret) else value
        options = choices(kind)
        for written, option in options:
            if written == plain and type(written) is type(plain):
                return option
        words = [str(written) for written, _ in options]
        near = wording.suggestion(value, words) if isinstance(value, str) else None
        return self.mismatch(kind, value, path, f"did you mean `{near}`?" if near else "")

    def sequence(
        self, kind: mi.ListType | mi.SetType | mi.FrozenSetType | mi.VarTupleType, value: object, path: str
    ) -> Any:
        if not isinstance(value, list | tuple):
            hint = "begin each entry with a dash, or put the entries in brackets: [one, two]"
            return self.mismatch(kind, value, path, hint)
        if not _is_within(len(value), kind.min_length, kind.max_length):
            wanted = wording.amount(kind.min_length, kind.max_length, "entry")
            self.report(path, f"needs {wanted}, found {len(value)}")
        items = [self.value(kind.item_type, item, join(path, index)) for index, item in enumerate(value)]
        return _COLLECTIONS[type(kind)](items)

    def fixed(self, kind: mi.TupleType, value: object, path: str) -> Any:
        if not isinstance(value, list | tuple):
            return self.mismatch(kind, value, path)
        if len(value) != len(kind.item_types):
            size = len(kind.item_types)
            self.report(path, f"needs {wording.amount(size, size, 'entry')}, found {len(value)}")
            return filler(kind)
        return tuple(
            self.value(one, item, join(path, index))
            for index, (one, item) in enumerate(zip(kind.item_types, value, strict=True))
        )

    def mapping(self, kind: mi.DictType, value: object, path: str) -> Any:
        if not isinstance(value, dict):
            return self.mismatch(kind, value, path, "write `name: value` lines below it")
        if not _is_within(len(value), kind.min_length, kind.max_length):
            wanted = wording.amount(kind.min_length, kind.max_length, "entry")
            self.report(path, f"needs {wanted}, found {len(value)}")
        result: dict[Any, Any] = {}
        for key, item in value.items():
            place = join(path, str(key))
            if isinstance(item, str) and isinstance(kind.value_type, mi.CustomType):
                item = Secret(item)  # see the module's docstring
            result[self.value(kind.key_type, key, place)] = self.value(kind.value_type, item, place)
        return result

    def struct(self, kind: mi.StructType, value: object, path: str) -> Any:
        if not isinstance(value, dict):
            hint = f"its keys are {wording.listing(field.encode_name for field in kind.fields)}"
            return self.mismatch(kind, value, path, hint)
        before = len(self.errors)
        self._unknown_keys(kind, value, path)
        arguments = {field.name: self._field(field, value, path) for field in kind.fields}
        if kind.tag_field is not None and value.get(kind.tag_field, kind.tag) != kind.tag:
            self.report(join(path, kind.tag_field), f"expected `{kind.tag}`")
        try:
            return kind.cls(**arguments)
        except (ValueError, TypeError) as error:
            # A type's own __post_init__ has the last word; about values that are wrong anyway it says nothing new.
            if len(self.errors) == before:
                self.report(path, str(error))
            return None

    def _field(self, field: mi.Field, value: dict[str, Any], path: str) -> Any:
        if field.encode_name in value:
            item = value[field.encode_name]
            if item is not None or field.required or not isinstance(bare(field.type), EMPTY_COUNTS_AS_ABSENT):
                before = len(self.errors)
                typed = self.value(field.type, item, join(path, field.encode_name))
                is_good = len(self.errors) == before and item is not UNRESOLVED
                return typed if is_good or field.required or isinstance(item, dict | list) else default(field)
        elif field.required:
            form = wording.expected(field.type)
            self.report(path, f"`{field.encode_name}` is missing; add `{field.encode_name}: …` ({form})")
            return filler(field.type)
        return default(field)

    def _unknown_keys(self, kind: mi.StructType, value: dict[str, Any], path: str) -> None:
        known = [field.encode_name for field in kind.fields]
        if kind.tag_field is not None:
            known.insert(0, kind.tag_field)
        if not kind.forbid_unknown_fields:
            return
        for key in value:
            if key in known:
                continue
            if len(self.errors) >= MAX_ERRORS:
                return
            near = wording.suggestion(key, known)
            advice = f"did you mean `{near}`?" if near else f"the keys here are {wording.listing(known)}"
            self.report(join(path, key), f"unknown key; {advice}")

    def union(self, kind: mi.UnionType, value: object, path: str) -> Any:
        if value is None and any(isinstance(one, mi.NoneType) for one in kind.types):
            return None
        options = [one for one in kind.types if not isinstance(one, mi.NoneType)]
        if len(options) == 1:
            return self.value(options[0], value, path)
        fitting = [one for one in options if _has_shape(one, value)]
        tagged = [one for one in fitting if isinstance(one, mi.StructType) and one.tag_field is not None]
        if tagged and isinstance(value, dict):
            return self._by_tag(tagged, value, path)
        return self.value(fitting[0], value, path) if fitting else self.mismatch(kind, value, path)

    def _by_tag(self, options: list[mi.StructType], value: dict[str, Any], path: str) -> Any:
        tag_field = options[0].tag_field or "type"
        for one in options:
            if value.get(tag_field) == one.tag:
                return self.value(one, value, path)
        tags = [str(one.tag) for one in options]
        if tag_field not in value:
            self.report(path, f"`{tag_field}` is missing; it is one of {wording.listing(tags)}")
        else:
            near = wording.suggestion(str(value[tag_field]), tags)
            hint = f"; did you mean `{near}`?" if near else ""
            self.report(join(path, tag_field), f"expected one of {wording.listing(tags)}{hint}")
        return filler(options[0])

    def described(self, kind: mi.Metadata, value: object, path: str) -> Any:
        """A type with a `Meta`: a description serves as the words of a pattern, `extra` may rule out references."""
        meaning = (kind.extra_json_schema or {}).get("description", "")
        if isinstance(value, Secret) and (kind.extra or {}).get(WRITTEN_OUT):
            self.report(path, "takes no reference; write it out, with $${ for a literal ${")
            return filler(kind)
        if isinstance(kind.type, mi.StrType) and meaning:
            return self.text(kind.type, value, path, meaning)
        return self.value(kind.type, value, path)


_Handler = Callable[[_Checker, Any, object, str], Any]
_HANDLERS: Final[dict[type[mi.Type], _Handler]] = {
    mi.AnyType: _Checker.anything,
    mi.NoneType: _Checker.nothing,
    mi.BoolType: _Checker.boolean,
    mi.IntType: _Checker.integer,
    mi.FloatType: _Checker.real,
    mi.StrType: _Checker.text,
    mi.CustomType: _Checker.secret,
    mi.LiteralType: _Checker.choice,
    mi.EnumType: _Checker.choice,
    mi.ListType: _Checker.sequence,
    mi.SetType: _Checker.sequence,
    mi.FrozenSetType: _Checker.sequence,
    mi.VarTupleType: _Checker.sequence,
    mi.TupleType: _Checker.fixed,
    mi.DictType: _Checker.mapping,
    mi.StructType: _Checker.struct,
    mi.UnionType: _Checker.union,
    mi.Metadata: _Checker.described,
}
_COLLECTIONS: Final[dict[type[mi.Type], Callable[[list[Any]], Any]]] = {
    mi.ListType: list,
    mi.SetType: set,
    mi.FrozenSetType: frozenset,
    mi.VarTupleType: tuple,
}
_SHOWN: Final = (mi.BoolType, mi.IntType, mi.FloatType, mi.LiteralType, mi.EnumType)
"""Where a wrong value is shown: nobody writes a secret there."""


def _is_within(size: int, low: int | None, high: int | None) -> bool:
    return (low is None or size >= low) and (high is None or size <= high)


def _has_shape(kind: mi.Type, value: object) -> bool:
    """Whether a member of a union is meant, judged by the outer shape."""
    kind = bare(kind)
    match value:
        case bool():
            return isinstance(kind, mi.BoolType)
        case int() | float():
            return isinstance(kind, mi.FloatType) or (isinstance(kind, mi.IntType) and float(value).is_integer())
        case str():
            return isinstance(kind, mi.StrType | mi.CustomType) or _is_choice_of(kind, value)
        case Secret():
            return isinstance(kind, mi.StrType | mi.CustomType | mi.LiteralType | mi.EnumType)
        case dict():
            return isinstance(kind, mi.DictType | mi.StructType)
        case list() | tuple():
            return isinstance(kind, (*_COLLECTIONS, mi.TupleType))
        case _:
            return False


def _is_choice_of(kind: mi.Type, value: str) -> bool:
    return isinstance(kind, mi.LiteralType | mi.EnumType) and any(written == value for written, _ in choices(kind))


def _number_hint(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d+)?", value):
        return "write it without quotes" if not re.match(r"[-+]?0\d", value) else "write it without the leading zero"
    if isinstance(value, str) and re.fullmatch(r"\d[\d_]*", value):
        return f"write {value.replace('_', '')}"
    return "a reference gives text, so write the number itself" if isinstance(value, Secret) else ""
