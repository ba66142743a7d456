"""JSON text to a tree. msgspec says whether it is JSON; the walk here only adds the lines."""

from __future__ import annotations

import re

import msgspec

from gatewright.config.problems import ConfigError
from gatewright.config.tree import MAX_DEPTH, Node, TreeBuilder, Unreadable

_PIECE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]|[^\s\[\]{},:"]+')
_BYTE = re.compile(r" ?\(byte (\d+)\)")


def parse_json(file: str, text: str, problems: list[ConfigError]) -> Node | None:
    """The tree of one JSON document, or None with the reason added to `problems`."""
    data = text.encode()
    try:
        msgspec.json.decode(data)
        return _walk(text, TreeBuilder(file, problems))
    except Unreadable as error:
        problems.append(ConfigError("", error.message, file, error.line))
    except RecursionError:
        problems.append(ConfigError("", f"nested deeper than {MAX_DEPTH} levels; no section needs that", file, 1))
    except msgspec.DecodeError as error:
        place = _BYTE.search(str(error))
        line = data.count(b"\n", 0, int(place[1])) + 1 if place else max(len(text.splitlines()), 1)
        reason = _BYTE.sub("", str(error)).removeprefix("JSON is malformed: ")
        problems.append(ConfigError("", f"not valid JSON: {reason}", file, line))
    return None


def _walk(text: str, builder: TreeBuilder) -> Node | None:
    line, counted = 1, 0
    for match in _PIECE.finditer(text):
        line += text.count("\n", counted, match.start())
        counted = match.start()
        piece = match[0]
        if piece == "{":
            builder.begin({}, line)
        elif piece == "[":
            builder.begin([], line)
        elif piece in "]}":
            builder.end()
        elif builder.is_at_key:
            builder.key(msgspec.json.decode(piece, type=str), line)
        else:
            builder.scalar(msgspec.json.decode(piece), line)
    return builder.root
