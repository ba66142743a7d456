"""The admin API in the words of OpenAPI 3.1: what the framework finds, with the words of the sources.

The framework knows the shapes of the bodies; what each member means stands below it in the source, and comes from
there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.routes import HTTPRoute
from msgspec import Struct

from gatewright.config.field_docs import field_docs, summary
from gatewright.control.admin.parameters import Needs
from gatewright.control.admin_keys import Role

EXAMPLES: Final[dict[str, Any]] = {
    "NewConsumer": {"path": "acme/search/indexer", "name": "Indexer", "details": {"owner": "ada@acme.example"}},
    "NewKey": {"consumer": "acme/search/indexer", "name": "nightly", "scopes": {"models": ["gpt-*"]}},
    "NewBudget": {"name": "acme-monthly", "on": {"consumers": ["acme/*"]}, "config": {"usd": 500, "per": "month"}},
    "BudgetDocument": {"on": {"consumers": ["acme/*"]}, "config": {"usd": 800, "per": "month"}},
    "NewAdminKey": {"name": "dashboard", "role": "viewer"},
    "KeyRotation": {"overlap_s": 86400},
}
"""A body for each operation that takes one, where its members do not speak for themselves."""


OTHER_FORMS: Final = (("/admin/v1/usage", "get", "text/csv"),)
"""Answers that a parameter turns into another form than JSON."""


def describe(app: Litestar) -> dict[str, Any]:
    """The document; made anew each time, which takes some milliseconds."""
    document: dict[str, Any] = app.openapi_schema.to_schema()
    # Of classes with one name the one that is nearest is meant: of two that the API had, neither's name would be short.
    structs = {cls.__name__: cls for cls in sorted(_structs(Struct), key=_distance, reverse=True)}
    for path, method, media_type in OTHER_FORMS:
        content = document["paths"][path][method]["responses"]["200"]["content"]
        content[media_type] = {"schema": {"type": "string"}}
    for path, method, role in _roles(app):
        document["paths"][path][method]["description"] += f" Needs the role {role.value}."
    schemas = document["components"]["schemas"]
    for name in list(schemas):
        if name in structs:
            # The framework leaves out bounds inside optional types; the library that enforces them does not.
            _, found = msgspec.json.schema_components((structs[name],), ref_template="#/components/schemas/{name}")
            schemas.update(found)
    for name, schema in schemas.items():
        if name in structs:
            _explain(schema, structs[name])
        if name in EXAMPLES:
            schema["examples"] = [EXAMPLES[name]]
    return document


def _roles(app: Litestar) -> Iterator[tuple[str, str, Role]]:
    """Every operation as path and method, with the least role that it needs."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for method, (handler, _) in route.route_handler_map.items():
            roles = [guard.role for guard in handler.resolve_guards() if isinstance(guard, Needs)]
            if roles and method != "OPTIONS":
                yield route.path_format, method.lower(), max(roles, key=tuple(Role).index)


def _structs(cls: type[Struct]) -> Iterator[type[Struct]]:
    for child in cls.__subclasses__():
        if child.__module__.startswith("gatewright."):
            yield child
        yield from _structs(child)


def _distance(cls: type[Struct]) -> int:
    rooms = ("gatewright.control.admin.", "gatewright.control.", "gatewright.")
    return next(index for index, room in enumerate(rooms) if cls.__module__.startswith(room))


def _explain(schema: dict[str, Any], cls: type[Struct]) -> None:
    schema["description"] = summary(cls)
    docs = field_docs(cls)
    for name, member in schema.get("properties", {}).items():
        if text := docs.get(name):
            # Beside a reference, OpenAPI 3.1 allows a description.
            member.setdefault("description", text)
