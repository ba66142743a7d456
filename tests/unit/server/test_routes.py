"""Paths and methods, exactly: nothing is guessed, and what is not there is told with what is."""

import pytest

from gatewright.core.errors import GatewayError, Kind
from gatewright.server.routes import PATHS, dialect_of, find_route


@pytest.mark.parametrize(
    ("method", "path", "surface", "dialect"),
    [
        (b"POST", b"/v1/chat/completions", "chat_completions", "openai.chat"),
        (b"POST", b"/v1/completions", "completions", "openai.completions"),
        (b"POST", b"/v1/embeddings", "embeddings", "openai.embeddings"),
        (b"GET", b"/v1/models", "models", "openai.chat"),
        (b"GET", b"/v1/models/gpt-4", "models", "openai.chat"),
        (b"GET", b"/v1/models/org/name", "models", "openai.chat"),
    ],
)
def test_what_is_served(method: bytes, path: bytes, surface: str, dialect: str) -> None:
    route, _ = find_route(method, path, {})
    assert (route.surface.name, route.dialect.name) == (surface, dialect)
    assert dialect_of(path, {}).name == dialect


@pytest.mark.parametrize(
    "path", [b"/", b"/v1", b"/v1/models/", b"/v1/modelsx", b"/v1/chat/completions/", b"/V1/models", b"*"]
)
def test_anything_else_is_not_there(path: bytes) -> None:
    with pytest.raises(GatewayError) as refused:
        find_route(b"POST", path, {})
    assert refused.value.kind is Kind.ROUTE_NOT_FOUND
    assert all(known in refused.value.message for known in PATHS)
    assert dialect_of(path, {}).name == "openai.chat"


def test_a_path_is_told_shortened() -> None:
    with pytest.raises(GatewayError) as refused:
        find_route(b"GET", b"/" + b"x" * 5_000, {})
    assert len(refused.value.message) < 1_500


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [(b"GET", b"/v1/embeddings", b"POST"), (b"HEAD", b"/v1/models", b"GET"), (b"DELETE", b"/v1/models/m", b"GET")],
)
def test_a_wrong_method_is_told_the_right_one(method: bytes, path: bytes, allowed: bytes) -> None:
    with pytest.raises(GatewayError) as refused:
        find_route(method, path, {})
    assert refused.value.kind is Kind.METHOD_NOT_ALLOWED
    assert refused.value.headers == ((b"allow", allowed),)
