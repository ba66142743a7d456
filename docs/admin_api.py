"""The page about the admin API, and its OpenAPI document, made from the code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from gatewright.control.admin.app import openapi_document
from gatewright.control.admin.problems import TITLES

INTRODUCTION: Final = """\
# Admin API

HTTP on the admin listener, under `/admin/v1`, with an admin key as a bearer. How to make the first key and use it is in
[Use the admin API](../how-to/admin-api.md). Every running gateway serves the whole document at `/admin/openapi.json`,
without a key; here it is as [a file](admin-api.json), for generators of clients.

Times are Unix seconds, or microseconds where a name ends in `_us`. Lists give `items` and `next_cursor`; give that as
`cursor` to go on behind them. An unknown parameter or member is an error, never ignored.
"""

PROBLEMS: Final = """\
## Problems

Whatever is not carried out is answered with `application/problem+json` (RFC 9457). `type` is `urn:gatewright:problem:`
and one of these kinds, `detail` says what it is here, and `errors` lists every reason where there may be several. 400
is for what the OpenAPI document rules out, 422 for what only its meaning does.
"""


_METHODS: Final = ("get", "post", "put", "patch", "delete")


def page() -> str:
    """The page in Markdown."""
    document = openapi_document()
    groups: dict[str, list[tuple[str, ...]]] = {}
    for method, path, operation in operations(document):
        role = operation["description"].rpartition("Needs the role ")[2].rstrip(".")
        short = path.removeprefix("/admin/v1")
        groups.setdefault(operation["tags"][0], []).append((f"`{method} {short}`", role, operation["summary"]))
    parts = [INTRODUCTION]
    for tag, rows in groups.items():
        parts += [f"## {tag.capitalize()}\n", table(("operation", "role", "what it does"), rows)]
    kinds = [(f"`{kind}`", str(status), title) for kind, (status, title) in TITLES.items()]
    parts += [PROBLEMS, table(("kind", "status", "meaning"), kinds)]
    return "\n".join(parts)


def document_text() -> str:
    """The OpenAPI document as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(openapi_document(), order="sorted"), indent=2).decode() + "\n"


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation: method, path, and what the document says of it."""
    for path, methods in document["paths"].items():
        for method in sorted(methods, key=_METHODS.index):
            yield method.upper(), path, methods[method]


def table(headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [headers, tuple("---" for _ in headers), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
