"""YAML text to a tree, by the events of PyYAML's parser.

Only the syntax is PyYAML's. What a plain word means follows JSON, not YAML 1.1, whose surprises have no place in a
configuration: `on`, `yes` and `no` are text, `010` and `1:30` and `2024-01-01` are text, numbers are decimal, and a key
is always the text that was written. No tag makes an object. Aliases and the merge key `<<` work.
"""

from __future__ import annotations

import re
from typing import Final

import yaml

from gatewright.config.problems import ConfigError
from gatewright.config.tree import Node, Scalar, TreeBuilder, Unreadable

# libyaml is some ten times faster; the wheels have it, a build from source may not.
_LOADER: Final = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader

_WORDS: Final[dict[str, Scalar]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_MAX_DIGITS: Final = 400
_MAX_HINT_LINE: Final = 300
_MERGE: Final = "<<"
_TEXT_TAGS: Final = frozenset({"!", "tag:yaml.org,2002:str"})
_COLLECTION_TAGS: Final = frozenset({"!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


def parse_yaml(file: str, text: str, problems: list[ConfigError]) -> Node | None:
    """The tree of one YAML document, or None with the reason added to `problems`. An empty file gives an empty tree."""
    builder = TreeBuilder(file, problems)
    try:
        _Events(builder).feed(text)
    except Unreadable as error:
        problems.append(ConfigError("", error.message, file, error.line))
    except yaml.MarkedYAMLError as error:
        problems.append(_syntax_error(file, text, error))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, max(error.position, 0)) + 1
        problems.append(ConfigError("", f"not valid YAML: {error.reason}; remove the character", file, line))
    else:
        return builder.root or Node(file=file, line=1, value=None)
    return None


def resolve_plain(text: str) -> Scalar:
    """What a word without quotes means. Raises ValueError for a number of absurd length."""
    if text in _WORDS:
        return _WORDS[text]
    if not _FLOAT.fullmatch(text):
        return text
    if len(text) > _MAX_DIGITS:
        raise ValueError("a number of more than 400 digits")
    return int(text) if _INTEGER.fullmatch(text) else float(text)


class _Events:
    """Hands the parser's events to the builder, and keeps the anchors."""

    def __init__(self, builder: TreeBuilder) -> None:
        self._builder = builder
        self._anchors: dict[str, Node] = {}
        self._names: list[str | None] = []
        """The anchor of each open collection."""
        self._documents = 0

    def feed(self, text: str) -> None:
        for event in yaml.parse(text, Loader=_LOADER):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.ScalarEvent):
                self._on_scalar(event, line)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._on_begin(event, line)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._on_end(line)
            elif isinstance(event, yaml.AliasEvent):
                self._on_alias(event, line)
            elif isinstance(event, yaml.DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    raise Unreadable(line, "a second YAML document begins; put each document into its own file")

    def _on_scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        if event.tag is not None and event.tag not in _TEXT_TAGS:
            raise _refuse_tag(event.tag, line)
        if self._builder.is_at_key:
            self._builder.key(event.value, line)
            return
        try:
            value = resolve_plain(event.value) if event.tag is None and event.implicit[0] else event.value
        except ValueError as error:
            raise Unreadable(line, f"{error}; put it in quotes if it is meant as text") from None
        node = self._builder.scalar(value, line)
        if event.anchor is not None:
            self._anchors[event.anchor] = node

    def _on_begin(self, event: yaml.CollectionStartEvent, line: int) -> None:
        if event.tag is not None and event.tag not in _COLLECTION_TAGS:
            raise _refuse_tag(event.tag, line)
        if self._builder.is_at_key:
            raise Unreadable(line, 'a key must be text; put a name with brackets or braces in quotes: "[…]"')
        self._names.append(event.anchor)
        self._builder.begin([] if isinstance(event, yaml.SequenceStartEvent) else {}, line)

    def _on_end(self, line: int) -> None:
        anchor = self._names.pop()
        node = self._builder.end()
        if isinstance(node.value, dict) and _MERGE in node.value:
            _merge(node.value, node.value.pop(_MERGE))
        if anchor is not None:
            self._anchors[anchor] = node

    def _on_alias(self, event: yaml.AliasEvent, line: int) -> None:
        name = str(event.anchor)
        node = self._anchors.get(name)
        if self._builder.is_at_key:
            raise Unreadable(line, f'a key must be text; put the name in quotes: "*{name}"')
        if node is None:
            message = f'no anchor `&{name}` ends before this alias; put it in quotes if it is meant as text: "*{name}"'
            raise Unreadable(line, message)
        self._builder.again(node, line)


def _merge(mapping: dict[str, Node], merged: Node) -> None:
    """Apply a merge key: its members count where the mapping does not have its own."""
    for source in merged.value if isinstance(merged.value, list) else [merged]:
        if not isinstance(source.value, dict):
            raise Unreadable(source.line or 1, "`<<` merges mappings: give it an alias of one, or a list of aliases")
        for key, node in source.value.items():
            mapping.setdefault(key, node)


def _refuse_tag(tag: str, line: int) -> Unreadable:
    return Unreadable(line, f"the tag `{tag}` has no meaning here; remove it")


def _syntax_error(file: str, text: str, error: yaml.MarkedYAMLError) -> ConfigError:
    """The parser's complaint in words that help, at the line it is about."""
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    lines = text.splitlines()
    # The parser notices a missing bracket or quote only at the end, so the beginning is told too.
    start = error.context_mark.line + 1 if error.context and error.context_mark else line
    begun = f" ({error.context} that begins on line {start})" if start != line else ""
    here = lines[line - 1] if line <= len(lines) else ""
    return ConfigError(
        "", f"not valid YAML: {error.problem}{begun}{_hint(here, error.problem)}", file, min(line, max(len(lines), 1))
    )


def _hint(line: str, problem: str | None) -> str:
    """What is most likely meant, judged by the look of the line."""
    line = line[:_MAX_HINT_LINE]  # the searches below are quadratic
    text = line.strip()
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "; indent with spaces, YAML allows no tabs"
    if re.search(r"[:,\[{]\s*[^\"'\s]*\$\{", text):
        return '; put a reference between braces or brackets in quotes: "${env:NAME}"'
    if re.match(r"\*", text) or re.search(r"[:\[,-]\s*[*@`%&!]", text):
        return "; put text that begins with a special character in quotes"
    if text.count(": ") > 1 and "{" not in text:
        return "; put text that holds a colon in quotes, and each key on its own line"
    return "; check how far this line and the one before are indented" if "mapping values" in str(problem) else ""
