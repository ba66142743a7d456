"""From a method and a path to a surface, and what is answered when there is none."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.surface import Dialect, Surface
from gatewright.dialects import DIALECTS
from gatewright.dialects.openai import CHAT

MODELS_PATH: Final = b"/v1/models"


class Route(Struct, frozen=True):
    """What is served on a path."""

    surface: Surface
    dialect: Dialect


MODELS: Final = Route(Surface("models", b"GET", MODELS_PATH, CHAT.name), CHAT)
ROUTES: Final[dict[bytes, Route]] = {
    surface.path: Route(surface, dialect) for dialect in DIALECTS for surface in dialect.surfaces
} | {MODELS_PATH: MODELS}


def find_route(method: bytes, path: bytes) -> Route:
    """The surface for a request. Raises GatewayError when there is none, or not with this method."""
    route = ROUTES.get(path)
    if route is None and path.startswith(b"/v1/models/") and len(path) > 11:
        route = MODELS
    if route is None:
        shown = path[:200].decode("latin-1")
        known = ", ".join(sorted(known.decode() for known in ROUTES))
        raise GatewayError(Kind.ROUTE_NOT_FOUND, f"There is nothing at {shown}. This gateway serves: {known}.")
    if method != route.surface.method:
        wanted = route.surface.method
        raise GatewayError(
            Kind.METHOD_NOT_ALLOWED,
            f"{method.decode('latin-1')} is not possible on {route.surface.path.decode()}; use {wanted.decode()}.",
            headers=((b"allow", wanted),),
        )
    return route


def dialect_of(path: bytes) -> Dialect:
    """The dialect in which errors on this path are told, whether or not the path exists."""
    route = ROUTES.get(path)
    return CHAT if route is None else route.dialect
