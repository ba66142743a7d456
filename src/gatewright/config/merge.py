"""Several files made into one document: a folder of small files reads like one big file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gatewright.config.problems import ConfigError
from gatewright.config.tree import Node, Scalar, join

_UNITED: Final = frozenset({"providers", "models", "consumers", "catalogue"})
_CONCATENATED: Final = frozenset({"policies"})


def merge(trees: Sequence[Node], problems: list[ConfigError]) -> Node:
    """One tree of all, in the given order.

    Names under `providers`, `models`, `consumers` and `catalogue` are united, `policies` are put after one another, and
    everything else may stand in one file only. A clash is added to `problems`; the first file counts.
    """
    sections: dict[str, Node] = {}
    for tree in trees:
        if tree.value is None:
            continue  # an empty file, or one with every line commented out
        if not isinstance(tree.value, dict):
            message = "expected a mapping at the top, with keys such as `providers:` and `models:`"
            problems.append(ConfigError("", message, tree.file, tree.line))
            continue
        for key, node in tree.value.items():
            if key == "$schema":  # how a JSON file tells an editor its schema
                continue
            sections[key] = _united(key, sections[key], node, problems) if key in sections else node
    return Node(file=trees[0].file if trees else "", line=1, value=sections)


def override(root: Node, values: Mapping[str, Scalar], source: str) -> None:
    """Set top-level values from elsewhere, such as the command line; `source` stands for the file in errors.

    The values mean themselves: what looks like a reference in them is none.
    """
    if isinstance(root.value, dict):
        for key, value in values.items():
            literal = value.replace("${", "$${") if isinstance(value, str) else value
            root.value[key] = Node(file=source, line=None, value=literal)


def _united(key: str, first: Node, second: Node, problems: list[ConfigError]) -> Node:
    """Both files' nodes of one top-level key as one."""
    if second.value is None or first.value is None:
        return second if first.value is None else first
    one, two = first.value, second.value
    if key in _UNITED and isinstance(one, dict) and isinstance(two, dict):
        names = dict(one)
        for name, node in two.items():
            if name in names:
                problems.append(_clash(join(key, name), names[name], node))
            else:
                names[name] = node
        return Node(file=first.file, line=first.line, value=names)
    if key in _CONCATENATED and isinstance(one, list) and isinstance(two, list):
        return Node(file=first.file, line=first.line, value=[*one, *two])
    problems.append(_clash(key, first, second))
    return first


def _clash(path: str, first: Node, second: Node) -> ConfigError:
    message = f"is written in two files, {first.file}:{first.line} and {second.file}:{second.line}; keep one"
    return ConfigError(path, message, second.file, second.line)
