"""Requests held against a vendor's own typed dictionaries, members that pydantic looks at lazily included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError


def checker(kind: Any) -> Callable[[Any], None]:
    """A function that raises ValueError for values that are not of this type."""
    adapter = TypeAdapter(kind)

    def check(value: Any) -> None:
        try:
            _exhaust(adapter.validate_python(value))
        except ValidationError as wrong:
            first = wrong.errors()[0]
            raise ValueError(f"{first['loc']}: {first['msg']}") from None

    return check


def _exhaust(value: Any) -> None:
    """`Iterable[…]` members are checked only as they are iterated."""
    if isinstance(value, Mapping):
        for inner in value.values():
            _exhaust(inner)
    elif not isinstance(value, str | bytes) and hasattr(value, "__iter__"):
        for inner in value:
            _exhaust(inner)
