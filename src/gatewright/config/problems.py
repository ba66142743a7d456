"""What is wrong with a configuration: all of it at once, each with its place."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class ConfigError(Struct, frozen=True):
    """One thing wrong in the configuration."""

    path: str
    """Where, as keys and indexes: `models.assistant.targets[0].provider`; empty for the document as a whole."""
    message: str
    """What is wrong and what to write instead."""
    file: str | None = None
    """The file it stands in, when known."""
    line: int | None = None
    """The line there, from 1."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file and self.line else f"{self.file}: " if self.file else ""
        return f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}"


class InvalidConfig(Exception):
    """A configuration that was refused, with every reason."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = tuple(errors)
