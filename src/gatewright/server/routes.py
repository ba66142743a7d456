"""From a method and a path to a surface, and what is answered when there is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.surface import Dialect, Surface
from gatewright.dialects import DIALECTS
from gatewright.dialects.anthropic import MESSAGES
from gatewright.dialects.anthropic import models as anthropic_models
from gatewright.dialects.google import GENERATE_CONTENT
from gatewright.dialects.google import models as google_models
from gatewright.dialects.openai import CHAT
from gatewright.dialects.openai import models as openai_models

Headers = Mapping[bytes, bytes]


class Listing(Struct, frozen=True):
    """How one vendor's clients read the list of published models."""

    render_models: Callable[[Sequence[str], int], bytes]
    """`(names, Unix seconds)` → the list."""
    render_model: Callable[[str, int], bytes] | None
    """The same for one of them; None where clients never ask for one."""
    header: bytes | None = None
    """The request header by which clients of this vendor are known, where another vendor has the same path."""


class Route(Struct, frozen=True):
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
)
"""In the order they are tried: one known by a header stands before the one without."""
ROUTES: Final[dict[bytes, Route]] = {
    surface.path: Route(surface, dialect) for dialect in DIALECTS for surface in dialect.surfaces
}
"""Every surface that calls models, by its path; `{model}` stands in those that name the model there."""
_PATTERNS: Final = [
    (re.compile(re.escape(path).replace(rb"\{model\}", rb"(?P<model>[^?#]+)") + rb"\Z"), route)
    for path, route in ROUTES.items()
    if b"{model}" in path
]
PATHS: Final = sorted({path.decode() for path in ROUTES} | {route.surface.path.decode() for route in LISTINGS})
"""Every path, for people."""


def find_route(method: bytes, path: bytes, headers: Headers) -> tuple[Route, str | None]:
    """The surface for a request, and the model that its path names. Raises GatewayError when there is none."""
    route = ROUTES.get(path)
    model = None
    if route is None:
        route, model = _match(path, headers)
    if route is None:
        shown = path[:200].decode("latin-1")
        raise GatewayError(
            Kind.ROUTE_NOT_FOUND, f"There is nothing at {shown}. This gateway serves: {', '.join(PATHS)}."
        )
    if method != route.surface.method:
        wanted = route.surface.method
        raise GatewayError(
            Kind.METHOD_NOT_ALLOWED,
            f"{method.decode('latin-1')} is not possible on {route.surface.path.decode()}; use {wanted.decode()}.",
            headers=((b"allow", wanted),),
        )
    return route, model


def dialect_of(path: bytes, headers: Headers) -> Dialect:
    """The dialect in which errors on this path are told, whether or not the path exists."""
    route = ROUTES.get(path) or _match(path, headers)[0]
    return CHAT if route is None else route.dialect


def _match(path: bytes, headers: Headers) -> tuple[Route | None, str | None]:
    for pattern, route in _PATTERNS:
        found = pattern.match(path)
        if found is not None:
            return route, unquote(found.group("model").decode("latin-1"))
    for route in LISTINGS:
        own = route.surface.path
        listing = route.listing
        if path.startswith(own) and listing is not None and (listing.header is None or listing.header in headers):
            if path == own:
                return route, None
            if path[len(own) : len(own) + 1] == b"/" and len(path) > len(own) + 1 and listing.render_model is not None:
                return route, unquote(path[len(own) + 1 :].decode("latin-1"))
    return None, None
