"""Names and patterns: which model a client means, which policies apply to whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


def is_match(pattern: str, name: str) -> bool:
    """Whether `name` is `pattern`, or begins with it up to its trailing `*`."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def is_selected(patterns: Sequence[str], name: str) -> bool:
    """Whether any pattern matches; no patterns select everything."""
    return not patterns or any(is_match(pattern, name) for pattern in patterns)


def find_dividing(published: str, selectors: Iterable[str]) -> tuple[str, ...]:
    """Those of `selectors` that match some names under the published pattern and not all; a name is never divided."""
    if not published.endswith("*"):
        return ()
    begin = published[:-1]
    return tuple(dict.fromkeys(s for s in selectors if s.startswith(begin) and s != published))


class NameTable(Generic[T]):
    """Exact names first, then the longest matching pattern."""

    __slots__ = ("_exact", "_patterns")

    def __init__(self, entries: Mapping[str, T]) -> None:
        self._exact = {name: value for name, value in entries.items() if not name.endswith("*")}
        patterns = [(name[:-1], value) for name, value in entries.items() if name.endswith("*")]
        self._patterns = sorted(patterns, key=lambda entry: len(entry[0]), reverse=True)

    def find(self, name: str) -> T | None:
        """The value for `name`, or None."""
        found = self._exact.get(name)
        if found is not None:
            return found
        for prefix, value in self._patterns:
            if name.startswith(prefix):
                return value
        return None

    def exact(self) -> Mapping[str, T]:
        """The entries that are names, not patterns."""
        return self._exact
