"""The tables of the providers page: what each type speaks, and the OpenAI-compatible hosts with their differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from gatewright.core.secret import Secret
from gatewright.core.traits import DEFAULT, Traits
from gatewright.dialects import DIALECTS
from gatewright.pipeline.provider import AnyProviderType
from gatewright.providers import PROVIDERS
from gatewright.providers.compatible_hosts import ROWS, HostRow

HOSTS: Final = {row.type for row in ROWS}
"""The provider types that are rows of one table."""
USUAL: Final = frozenset(
    name
    for name, rows in Counter(name for row in ROWS for name in row.traits.unsupported).items()
    if rows * 2 > len(ROWS)
)
"""Members that most hosts do not take, so that they are named once."""
HEADERS: Final = ("type", "what it is", "speaks", "passes through", "environment variable", "published without a file")
HOST_HEADERS: Final = ("type", "host", "base URL", *HEADERS[2:], "its documentation")
DIFFERENCE_HEADERS: Final = ("type", "renamed", "left out", "otherwise")

_PASSING: Final = [dialect.name for dialect in DIALECTS if dialect.family == "passing"]
_WORDS: Final = {
    "has_developer_role": "`developer` messages are sent as `system`",
    "has_system_role": "`system` messages are sent as `developer`",
    "has_json_schema": "JSON Schema output becomes JSON mode",
    "replays_reasoning": "thoughts are sent back",
}
"""What a switch that differs from the dialect's own means; others are shown by name and value."""


def own_rows() -> Iterator[tuple[str, ...]]:
    """Provider types that have a file of their own."""
    for kind in PROVIDERS:
        if kind.name not in HOSTS:
            yield (f"[`{kind.name}`](#{kind.name})", kind.summary, *_spoken(_paths(kind)), *_defaults(kind))


def host_rows() -> Iterator[tuple[str, ...]]:
    """The compatible hosts: where they are and what they speak."""
    kinds = {kind.name: kind for kind in PROVIDERS}
    for row in ROWS:
        url = f"`{row.url}`" if row.url else "*`url` is required*"
        yield (f"`{row.type}`", row.title, url, *_spoken(row.apis), *_defaults(kinds[row.type]), row.source)


def difference_rows() -> Iterator[tuple[str, ...]]:
    """The compatible hosts: what is changed in requests to them."""
    for row in ROWS:
        renamed = ", ".join(f"`{old}` → `{new}`" for old, new in row.traits.renames.items())
        yield (f"`{row.type}`", renamed or "–", _left_out(row), "; ".join(_others(row.traits)) or "–")


def _left_out(row: HostRow) -> str:
    members = row.traits.unsupported
    missing, more = sorted(USUAL - members), sorted(members - USUAL)
    if len(missing) == len(USUAL):
        return _listed(more)
    usual = "the usual" + (f" but {_listed(missing)}" if missing else "")
    return f"{usual}; {_listed(more)}" if more else usual


def _others(traits: Traits) -> Iterator[str]:
    if traits.reasoning_member != DEFAULT.reasoning_member:
        yield f"thoughts stand in `{traits.reasoning_member}`"
    if traits.tool_id_form == "alnum9":
        yield "ids of tool calls have nine letters or digits"
    for name, words in _WORDS.items():
        if getattr(traits, name) != getattr(DEFAULT, name):
            yield words
    told = {"renames", "unsupported", "reasoning_member", *_WORDS}
    for name in traits.__struct_fields__:
        value = getattr(traits, name)
        if name not in told and value != getattr(DEFAULT, name) and value != "alnum9":
            yield f"`{name}`: `{value}`"


def _paths(kind: AnyProviderType) -> Collection[str]:
    config = msgspec.structs.replace(
        msgspec.convert({"type": kind.name, "share_account": True}, kind.config), key=Secret("key")
    )
    try:
        return list(kind.build("example", config).paths)
    except ValueError:  # it has no address of its own
        return list(kind.build("example", msgspec.structs.replace(config, url="http://127.0.0.1/v1")).paths)


def _spoken(paths: Collection[str]) -> tuple[str, str]:
    chat = [name for name in paths if name not in _PASSING and any(dialect.name == name for dialect in DIALECTS)]
    return _listed(chat), _listed(_grouped([name for name in _PASSING if name in paths]))


def _grouped(names: list[str]) -> list[str]:
    """Names without their vendor, and one word for a group that is complete."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.split(".")[1], []).append(name)
    out: list[str] = []
    for group, members in groups.items():
        is_whole = members == [name for name in _PASSING if name.split(".")[1] == group]
        out += [group] if is_whole else [name.partition(".")[2] for name in members]
    return out


def _defaults(kind: AnyProviderType) -> tuple[str, str]:
    return f"`{kind.environment}`" if kind.environment else "–", _listed(kind.default_models)


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"
