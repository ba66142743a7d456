"""A configuration file as a tree that knows its lines, whatever syntax it was written in.

The readers of YAML and JSON feed a `TreeBuilder`; it refuses what no configuration needs (depth, size, a key written
twice), so everything behind it may recurse and expand without fear. A path is written as keys and indexes joined by
dots, `models.gpt-4.1.targets[0]`: keys may hold dots themselves, so a path is looked up against the tree, never parsed
alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from gatewright.config.problems import ConfigError

MAX_DEPTH: Final = 64
MAX_NODES: Final = 500_000
"""Values in one file, counted with every alias written out."""

MAX_KEY_CHARACTERS: Final = 1024

Scalar = str | int | float | bool | None

_QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_INDEX = re.compile(r"\[(\d{1,9})\]")


class Node(Struct, eq=False, kw_only=True):
    """One value of a file. Under a mapping its line is the key's, since that is where a reader looks."""

    file: str
    line: int | None
    value: Scalar | list[Node] | dict[str, Node]
    size: int = 1
    """Values in it, itself included, each alias counted in full."""
    height: int = 1
    """Levels in it, itself included."""


class Unreadable(Exception):
    """The file cannot be read beyond this line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


class _Open(Struct, eq=False):
    """A collection that is being read."""

    node: Node
    path: str
    key: str | None = None
    key_line: int = 0


class TreeBuilder:
    """Takes the pieces of one file in order and gives its tree.

    Raises `Unreadable` beyond a limit. A key that is written twice is added to `problems`; the first one counts.
    """

    def __init__(self, file: str, problems: list[ConfigError]) -> None:
        self.root: Node | None = None
        self._file = file
        self._problems = problems
        self._open: list[_Open] = []
        self._nodes = 0

    @property
    def is_at_key(self) -> bool:
        """Whether the next piece is a key of a mapping."""
        return bool(self._open) and isinstance(self._open[-1].node.value, dict) and self._open[-1].key is None

    def key(self, text: str, line: int) -> None:
        """Take the key of the value that comes next."""
        _representable(text, line)
        if len(text) > MAX_KEY_CHARACTERS:  # looking up a path takes quadratic time in the length of its keys
            raise Unreadable(line, f"a key of more than {MAX_KEY_CHARACTERS} characters; no name is that long")
        self._open[-1].key, self._open[-1].key_line = text, line

    def scalar(self, value: Scalar, line: int) -> Node:
        """Take a single value."""
        node = Node(file=self._file, line=line, value=_representable(value, line))
        self._count(1, line)
        self.add(node)
        return node

    def begin(self, empty: list[Node] | dict[str, Node], line: int) -> None:
        """Take the start of a list or mapping."""
        self._count(1, line)
        self._check_depth(1, line)
        self._open.append(_Open(Node(file=self._file, line=line, value=empty), self._path_here()))

    def end(self) -> Node:
        """Take the end of the innermost list or mapping, and give it."""
        node = self._open.pop().node
        self.add(node)
        return node

    def again(self, node: Node, line: int) -> None:
        """Take a value that was given before, by an alias."""
        self._count(node.size, line)
        self._check_depth(node.height, line)
        self.add(Node(file=self._file, line=line, value=node.value, size=node.size, height=node.height))

    def add(self, node: Node) -> None:
        """Put a finished value where it belongs."""
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        parent.node.size += node.size
        parent.node.height = max(parent.node.height, node.height + 1)
        if isinstance(parent.node.value, list):
            parent.node.value.append(node)
        elif isinstance(parent.node.value, dict) and parent.key is not None:
            self._add_to_mapping(parent, parent.node.value, parent.key, node)

    def _add_to_mapping(self, parent: _Open, mapping: dict[str, Node], key: str, node: Node) -> None:
        parent.key = None
        first = mapping.get(key)
        if first is None:
            node.line = parent.key_line
            mapping[key] = node
            return
        message = f"is written twice, on line {first.line} and again on line {parent.key_line}; keep one"
        self._problems.append(ConfigError(join(parent.path, key), message, self._file, parent.key_line))

    def _path_here(self) -> str:
        if not self._open:
            return ""
        parent = self._open[-1]
        return join(parent.path, len(parent.node.value) if isinstance(parent.node.value, list) else parent.key or "")

    def _count(self, nodes: int, line: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise Unreadable(line, f"more than {MAX_NODES} values, aliases written out; split the configuration")

    def _check_depth(self, height: int, line: int) -> None:
        if len(self._open) + height > MAX_DEPTH:
            raise Unreadable(line, f"nested deeper than {MAX_DEPTH} levels; no section needs that")


def join(path: str, key: str | int) -> str:
    """The path of a member: `models` and `assistant` give `models.assistant`, an index gives `targets[0]`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    # A key with a line break or the like in it is quoted, so that an error stays on its own line.
    shown = key if key.isprintable() and not key.startswith('"') else msgspec.json.encode(key).decode()
    return f"{path}.{shown}" if path else shown


def find(root: Node, path: str) -> Node | None:
    """The node at `path`, or the deepest one on the way there; None when not even its first key exists."""
    if not path:
        return root
    consumed, node = _find(root, path, set())
    return node if consumed else None


def _find(node: Node, rest: str, seen: set[tuple[int, int]]) -> tuple[int, Node]:
    """How many characters of `rest` lead somewhere, and where."""
    best = (0, node)
    for child, used in _steps(node, rest):
        # Keys with dots can reach the same node in several ways; each is tried once.
        if (id(child), len(rest) - used) in seen:
            continue
        seen.add((id(child), len(rest) - used))
        further, found = _find(child, rest[used:], seen)
        if used + further > best[0]:
            best = (used + further, found)
        if best[0] == len(rest):
            break
    return best


def _steps(node: Node, rest: str) -> Iterator[tuple[Node, int]]:
    """The members that `rest` may begin with, each with the characters it takes."""
    if isinstance(node.value, list):
        match = _INDEX.match(rest)
        if match and int(match[1]) < len(node.value):
            yield node.value[int(match[1])], _past_dot(rest, match.end())
    elif isinstance(node.value, dict):
        quoted = _QUOTED.match(rest)
        if quoted:
            child = node.value.get(_unquote(quoted[0]))
            if child is not None:
                yield child, _past_dot(rest, quoted.end())
        for end in range(1, len(rest) + 1):
            if end == len(rest) or rest[end] in ".[":
                child = node.value.get(rest[:end])
                if child is not None:
                    yield child, _past_dot(rest, end)


def _past_dot(rest: str, end: int) -> int:
    return end + 1 if rest[end : end + 1] == "." else end


def _unquote(text: str) -> str:
    try:
        return msgspec.json.decode(text, type=str)
    except msgspec.DecodeError:
        return text


def _representable(value: Scalar, line: int) -> Scalar:
    """The value, if it can be stored and sent: 64-bit numbers, and text that is Unicode."""
    if isinstance(value, int):
        fits = -(2**63) <= value < 2**63
    elif isinstance(value, float):
        fits = abs(value) <= 1.7976931348623157e308
    elif isinstance(value, str) and not value.isascii():
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise Unreadable(line, "text with half a surrogate pair; write the character itself")
        return value
    else:
        return value
    if not fits:
        raise Unreadable(line, "a number that does not fit into 64 bits; put it in quotes if it is meant as text")
    return value
