"""A value that must never be seen: provider keys, passwords, private headers."""

from __future__ import annotations

from typing import NoReturn


class Secret:
    """A string that prints as `***` everywhere.

    Only `reveal()` gives the value, and only the code that writes it to the wire calls that. There is no equality with
    `str`, no pickling and no formatting of the value, so a secret cannot reach a log, an error or a URL by accident.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Give the value itself, for the wire."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled; send it with config.transport over a private channel")
