"""Empty values of every type: they stand where a wrong one was, so that checking can go on behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import msgspec.inspect as mi

from gatewright.core.secret import Secret

_FILLERS: Final[dict[type[mi.Type], Callable[[], Any]]] = {
    mi.BoolType: bool,
    mi.IntType: int,
    mi.FloatType: float,
    mi.StrType: str,
    mi.ListType: list,
    mi.SetType: set,
    mi.FrozenSetType: frozenset,
    mi.VarTupleType: tuple,
    mi.DictType: dict,
}


def filler(kind: mi.Type) -> Any:
    """An empty value of the right type, to stand where a wrong one was."""
    kind = bare(kind)
    match kind:
        case mi.LiteralType() | mi.EnumType():
            return choices(kind)[0][1]
        case mi.CustomType():
            return Secret("")
        case mi.TupleType():
            return tuple(map(filler, kind.item_types))
        case mi.UnionType():
            return None if any(isinstance(one, mi.NoneType) for one in kind.types) else filler(kind.types[0])
        case mi.StructType():
            fields = {field.name: filler(field.type) if field.required else default(field) for field in kind.fields}
            try:
                return kind.cls(**fields)
            except (ValueError, TypeError):
                return None
        case _:
            return _FILLERS.get(type(kind), lambda: None)()


def choices(kind: mi.LiteralType | mi.EnumType) -> list[tuple[Any, Any]]:
    """What may be written, each with the value it stands for."""
    if isinstance(kind, mi.LiteralType):
        return [(value, value) for value in kind.values]
    return [(member.value, member) for member in kind.cls]


def default(field: mi.Field) -> Any:
    """What a field is when it is not written."""
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def bare(kind: mi.Type) -> mi.Type:
    """The type without its description."""
    return bare(kind.type) if isinstance(kind, mi.Metadata) else kind
