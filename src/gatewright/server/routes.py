"""From a method and a path to a surface, and what is answered when there is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn
from urllib.parse import unquote

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.surface import Dialect, Surface
from gatewright.dialects import DIALECTS
from gatewright.dialects.anthropic import MESSAGES
from gatewright.dialects.anthropic import models as anthropic_models
from gatewright.dialects.google import GENERATE_CONTENT
from gatewright.dialects.google import models as google_models
from gatewright.dialects.ollama import CHAT as OLLAMA
from gatewright.dialects.ollama import models as ollama_models
from gatewright.dialects.openai import CHAT
from gatewright.dialects.openai import models as openai_models

Headers = Mapping[bytes, bytes]

_NAMED: Final = re.compile(rb"\\\{(?:model|id)\\\}")
_NAMES: Final = {rb"\{model\}": rb"([^?#]+)", rb"\{id\}": rb"([^/?#]+)"}
"""What may stand in a path for a name: models have slashes, ids have none."""
_ID: Final = re.compile(r"[A-Za-z0-9_~:@!$&'()*+,;=.-]{1,256}\Z")


@dataclass(frozen=True)
class Listing:
    """How one vendor's clients read the list of published models."""

    render_models: Callable[[Sequence[str], int], bytes]
    """`(names, Unix seconds)` → the list."""
    render_model: Callable[[str, int], bytes] | None
    """The same for one of them; None where clients never ask for one."""
    header: bytes | None = None
    """The request header by which clients of this vendor are known, where another vendor has the same path."""


@dataclass(frozen=True)
class Route:
    """What is served on a path."""

    surface: Surface
    dialect: Dialect
    listing: Listing | None = None
    """On surfaces that list models; the path, a slash and a name show one."""


def _listing(path: bytes, dialect: Dialect, listing: Listing) -> Route:
    return Route(Surface("models", b"GET", path, dialect.name), dialect, listing)


LISTINGS: Final = (
    _listing(
        b"/v1/models",
        MESSAGES,
        Listing(anthropic_models.render_models, anthropic_models.render_model, header=b"anthropic-version"),
    ),
    _listing(b"/v1/models", CHAT, Listing(openai_models.render_models, openai_models.render_model)),
    _listing(
        b"/v1beta/models",
        GENERATE_CONTENT,
        Listing(
            lambda names, created: google_models.render_models(names),
            lambda name, created: google_models.render_model(name),
        ),
    ),
    _listing(b"/api/tags", OLLAMA, Listing(ollama_models.render_models, None)),
)
"""In the order they are tried: one known by a header stands before the one without."""


def _routes() -> dict[bytes, Route]:
    routes: dict[bytes, Route] = {}
    for dialect in DIALECTS:
        for surface in dialect.surfaces:
            key = surface.path if surface.path not in routes else _other_method(surface.method, surface.path)
            routes[key] = Route(surface, dialect)
    return routes


def _other_method(method: bytes, path: bytes) -> bytes:
    return b"%b %b" % (method, path)


ROUTES: Final = _routes()
"""Every surface that calls models, by its path; `{model}` or `{id}` stands in those that name one there. What a path is
for with another method stands under `METHOD /path`."""
_EXACT: Final = {path: route for path, route in ROUTES.items() if path.startswith(b"/") and b"{" not in path}
_PATTERNS: Final = [
    (re.compile(_NAMED.sub(lambda name: _NAMES[name.group()], re.escape(path)) + rb"\Z"), route)
    for path, route in ROUTES.items()
    if path.startswith(b"/") and b"{" in path
]
PATHS: Final = sorted({route.surface.path.decode() for route in (*ROUTES.values(), *LISTINGS)})
"""Every path, for people."""


def find_route(method: bytes, path: bytes, headers: Headers) -> tuple[Route, str | None]:
    """The surface for a request, and the model or the id that its path names. Raises GatewayError."""
    route = _EXACT.get(path)
    model = None
    if route is None:
        route, model = _match(path, headers)
    if route is None:
        shown = path[:200].decode("latin-1")
        raise GatewayError(
            Kind.ROUTE_NOT_FOUND, f"There is nothing at {shown}. This gateway serves: {', '.join(PATHS)}."
        )
    if method != route.surface.method:
        route = ROUTES.get(_other_method(method, route.surface.path)) or _refuse_method(method, route)
    if model is not None and b"{id}" in route.surface.path and (model.strip(".") == "" or not _ID.match(model)):
        raise GatewayError(Kind.MALFORMED_REQUEST, "The id in the path is not one that a provider gives.")
    return route, model


def _refuse_method(method: bytes, route: Route) -> NoReturn:
    path = route.surface.path
    known = [other.surface.method for other in ROUTES.values() if other.surface.path == path] or [route.surface.method]
    raise GatewayError(
        Kind.METHOD_NOT_ALLOWED,
        f"{method.decode('latin-1')} is not possible on {path.decode()}; use {b' or '.join(known).decode()}.",
        headers=((b"allow", b", ".join(known)),),
    )


def dialect_of(path: bytes, headers: Headers) -> Dialect:
    """The dialect in which errors on this path are told, whether or not the path exists."""
    route = _EXACT.get(path) or _match(path, headers)[0]
    return CHAT if route is None else route.dialect


def _match(path: bytes, headers: Headers) -> tuple[Route | None, str | None]:
    for pattern, route in _PATTERNS:
        found = pattern.match(path)
        if found is not None:
            return route, unquote(found.group(1).decode("latin-1"))
    for route in LISTINGS:
        own = route.surface.path
        listing = route.listing
        if path.startswith(own) and listing is not None and (listing.header is None or listing.header in headers):
            if path == own:
                return route, None
            if path[len(own) : len(own) + 1] == b"/" and len(path) > len(own) + 1 and listing.render_model is not None:
                return route, unquote(path[len(own) + 1 :].decode("latin-1"))
    return None, None
