"""Files to one checked document: read, merge, resolve references, check types, check that all fits together.

The stages go on behind a problem as far as sense allows, so that an operator sees everything at once. What only a
provider type or a filter can check comes later, in `pipeline`; `Loaded.place` gives those errors their lines too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

from gatewright.config.check import MAX_ERRORS, salvage
from gatewright.config.documents import Gateway
from gatewright.config.json_reader import parse_json
from gatewright.config.merge import merge, override
from gatewright.config.problems import ConfigError
from gatewright.config.references import UNRESOLVED, Resolve, expand, find_revealed, mask
from gatewright.config.rules import find_errors, find_warnings
from gatewright.config.tree import Node, Scalar, find
from gatewright.config.yaml_reader import parse_yaml
from gatewright.core.secret import Secret

MAX_FILE_BYTES: Final = 8 * 1024 * 1024
COMMAND_LINE: Final = "command line"
"""Stands for the file of a value that was given as an override."""


class Loaded:
    """What came of some files: a document or errors, and the lines of everything in them."""

    __slots__ = ("_revealed", "_root", "document", "errors", "warnings")

    def __init__(
        self,
        document: Gateway | None,
        errors: tuple[ConfigError, ...],
        warnings: tuple[ConfigError, ...],
        root: Node,
        revealed: Sequence[str] = (),
    ) -> None:
        self.document = document
        """The checked document; None when there are errors."""
        self.errors = errors
        """Everything that is wrong, by file and line; at most a few hundred."""
        self.warnings = warnings
        """What is allowed but hardly meant; only looked for when nothing is wrong."""
        self._root = root
        self._revealed = revealed
        """What references stand for: no error shows it."""

    def locate(self, path: str) -> tuple[str, int] | None:
        """File and line of a path, or of the deepest part of it that is written; None for what stands in no file."""
        node = find(self._root, path)
        return (node.file, node.line) if node is not None and node.file and node.line else None

    def place(self, errors: Iterable[ConfigError]) -> list[ConfigError]:
        """The errors with file and line filled in where they lack them, and secrets masked, by file and line."""
        return sorted(map(self._placed, errors), key=lambda error: (error.file or "", error.line or 0))

    def _placed(self, error: ConfigError) -> ConfigError:
        if error.file is not None:
            return error
        error = ConfigError(error.path, mask(error.message, self._revealed))
        node = find(self._root, error.path)
        if node is None or not node.file:
            return error
        # The document as a whole has no line worth pointing at.
        return ConfigError(error.path, error.message, node.file, node.line if error.path else None)


def load(
    files: Sequence[tuple[str, bytes]], resolve: Resolve, *, overrides: Mapping[str, Scalar] | None = None
) -> Loaded:
    """Read files, given as (name, bytes), into one checked document. Never raises, whatever the bytes are.

    A name that ends in `.json` is read as JSON, every other as YAML. Several files are merged in the order of their
    names. `resolve(scheme, name)` gives what `${scheme:name}` stands for, or None. `overrides` replaces top-level
    values (`listen`, `admin`) before anything is checked; they are taken as they are, without references.
    """
    problems: list[ConfigError] = []
    trees = [_parse(name, data, problems) for name, data in sorted(files, key=lambda file: file[0])]
    readable = [tree for tree in trees if tree is not None]
    root = merge(readable, problems)
    if any(not problem.path for problem in problems):
        # With a whole file missing, everything else would be about names that it defines.
        return Loaded(None, _ordered(problems), (), root)
    override(root, overrides or {}, COMMAND_LINE)
    data = expand(root, "", resolve, problems)
    revealed = tuple(find_revealed(data))
    _reveal_types(data)
    document, errors = salvage(data, Gateway)
    broken = {error.path for error in (*problems, *errors)}
    # What is broken itself stands there as an empty value, about which the rules say nothing new.
    errors += [error for error in find_errors(document, broken) if error.path not in broken]
    loaded = Loaded(None, (), (), root, revealed)
    problems = _without_echo(problems, loaded.place(errors))
    if problems:
        return Loaded(None, _ordered(problems), (), root, revealed)
    return Loaded(document, (), tuple(loaded.place(find_warnings(document))), root, revealed)


def _parse(name: str, data: bytes, problems: list[ConfigError]) -> Node | None:
    if len(data) > MAX_FILE_BYTES:
        problems.append(ConfigError("", f"larger than {MAX_FILE_BYTES >> 20} MiB; split it into several files", name))
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.append(ConfigError("", "not UTF-8 text; save the file as UTF-8", name, line))
        return None
    return (parse_json if name.endswith(".json") else parse_yaml)(name, text, problems)


def _reveal_types(data: object) -> None:
    """Make each provider's `type` plain text: it chooses who checks the rest, and is no secret."""
    providers = data.get("providers") if isinstance(data, dict) else None
    for provider in providers.values() if isinstance(providers, dict) else ():
        kind = provider.get("type") if isinstance(provider, dict) else None
        if isinstance(kind, Secret) and kind is not UNRESOLVED:
            cast(dict[str, object], provider)["type"] = kind.reveal()


def _without_echo(first: list[ConfigError], then: list[ConfigError]) -> list[ConfigError]:
    """Both, without later ones about a place that an earlier one is about already."""
    places = {(error.path, error.file) for error in first if error.path}
    return first + [error for error in then if (error.path, error.file) not in places]


def _ordered(problems: list[ConfigError]) -> tuple[ConfigError, ...]:
    ordered = sorted(problems, key=lambda error: (error.file or "", error.line or 0))
    if len(ordered) > MAX_ERRORS:
        ordered[MAX_ERRORS:] = [ConfigError("", f"there is more than these {MAX_ERRORS} problems; mend them first")]
    return tuple(ordered)
