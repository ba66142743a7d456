"""Secrets that stand as plain text in a configuration document, though a reference belongs there.

Headers, a password inside an address, and fields that are secrets: those take nothing but a reference anyway, but what
is stored must not depend on who checks them. A document that is stored in a database must not hold secrets, and one
that is shown must not show them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from gatewright.config.json_reader import parse_json
from gatewright.config.merge import merge
from gatewright.config.problems import ConfigError
from gatewright.config.tree import Node, join
from gatewright.config.yaml_reader import parse_yaml

MASK: Final = "***"
_TELLING: Final = re.compile(
    r"auth|cookie|credential|passw|private|secret|signature|token|(^|[-_.])(api)?[-_.]?key$", re.IGNORECASE
)
"""Names of headers and settings whose text is likely a secret."""
_HARMLESS: Final = re.compile(r"tokens|_url$|_uri$|_endpoint$|method$", re.IGNORECASE)
"""Names that merely sound like it: limits of LLM tokens, addresses of token endpoints."""
_PASSWORD_IN_ADDRESS: Final = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#@\s]*:[^/?#@\s]+@")
_REFERENCE: Final = re.compile(r"(?<!\$)\$\{(env|file):")
_FIELDS: Final = frozenset({"api_key", "client_secret", "key", "password", "secret"})
"""Fields of providers, of identity and of filters that are secrets."""
MAX_DEPTH_OF_SETTINGS: Final = 32
"""Levels of lists and mappings in the settings of one policy; far from what breaks a reader of JSON."""


def find_plain_secrets(files: Sequence[tuple[str, bytes]]) -> list[ConfigError]:
    """One error for each, with its place. What cannot be read is not looked at: the loader tells why."""
    message = "this is a secret; write it as a reference, ${env:NAME} or ${file:/path}"
    found = _texts(_read(files), "")
    return [
        ConfigError(text.path, message, text.node.file, text.node.line)
        for text in found
        if text.is_address_with_password or text.is_secret_field or (text.is_header and text.is_telling)
    ]


def without_secrets(files: Sequence[tuple[str, bytes]]) -> str:
    """The files merged, as indented JSON; references stay as they are written, plain secrets become `***`."""
    root = _read(files)
    # Wider than what is refused: the files may be wrong, and nobody misses the text of a setting called `key`.
    hidden = {text.path for text in _texts(root, "") if text.is_address_with_password or text.is_telling}
    return msgspec.json.format(msgspec.json.encode(_plain(root, "", hidden)), indent=2).decode()


def depth_of(value: object) -> int:
    """Levels of lists and mappings in plain data, itself included; counts no further than matters."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH_OF_SETTINGS:
        level = [inner for outer in level for inner in _members(outer)]
        depth += 1
    return depth


def _members(value: object) -> list[object]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _read(files: Sequence[tuple[str, bytes]]) -> Node:
    problems: list[ConfigError] = []
    trees = []
    for name, data in files:
        parse = parse_json if name.endswith(".json") else parse_yaml
        trees.append(parse(name, data.decode("utf-8-sig", errors="replace"), problems))
    return merge([tree for tree in trees if tree is not None], problems)


class _Text(Struct, frozen=True, eq=False):
    """A text that is no reference, and where it stands."""

    path: str
    node: Node
    name: str
    is_header: bool
    is_address_with_password: bool

    @property
    def is_secret_field(self) -> bool:
        """Whether it is a field that takes a reference only; under `tls`, `key` is the path of a file."""
        return self.name in _FIELDS and not self.path.endswith("tls.key")

    @property
    def is_telling(self) -> bool:
        """Whether its name says that it is a secret."""
        return bool(_TELLING.search(self.name)) and not _HARMLESS.search(self.name)


def _texts(node: Node, path: str, *, name: str = "", is_header: bool = False) -> Iterator[_Text]:
    value = node.value
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _texts(child, join(path, key), name=key, is_header=is_header or name == "headers")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _texts(child, join(path, index), name=name, is_header=is_header)
    elif isinstance(value, str) and value and not _REFERENCE.search(value):
        yield _Text(path, node, name, is_header, bool(_PASSWORD_IN_ADDRESS.match(value)))


def _plain(node: Node, path: str, hidden: set[str]) -> Any:
    if path in hidden:
        return MASK
    value = node.value
    if isinstance(value, dict):
        return {key: _plain(child, join(path, key), hidden) for key, child in value.items()}
    if isinstance(value, list):
        return [_plain(child, join(path, index), hidden) for index, child in enumerate(value)]
    return value
