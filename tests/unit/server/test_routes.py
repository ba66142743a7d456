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
    ("method", "path", "surface", "named"),
    [
        (b"POST", b"/v1/files", "files_create", None),
        (b"GET", b"/v1/files", "files_list", None),
        (b"GET", b"/v1/files/file-1", "files_get", "file-1"),
        (b"DELETE", b"/v1/files/file-1", "files_delete", "file-1"),
        (b"GET", b"/v1/files/content", "files_get", "content"),
        (b"GET", b"/v1/files/a%3Ab/content", "files_content", "a:b"),
        (b"POST", b"/v1/batches", "batches_create", None),
        (b"POST", b"/v1/batches/b..1/cancel", "batches_cancel", "b..1"),
        (b"POST", b"/v2/rerank", "rerank_v2", None),
    ],
)
def test_paths_with_ids_and_several_methods(method: bytes, path: bytes, surface: str, named: str | None) -> None:
    route, found = find_route(method, path, {})
    assert (route.surface.name, found) == (surface, named)


@pytest.mark.parametrize(
    "given",
    [
        *[b"x" * 257, b"a%3fb", b"a%23b", b'a"b', b"a<b"],
        *[
            b"..",
            b".",
            b"...",
            b"%2e%2e",
            b"a%2fb",
            b"a%5Cb",
            b"%252e",
            b"a%0d%0ab",
            b"a%00",
            b"a b",
            b"a%20b",
            b"%C3%A9",
        ],
    ],
)
def test_an_id_that_could_be_more_than_one_is_refused(given: bytes) -> None:
    for method, path in ((b"GET", b"/v1/files/%b"), (b"DELETE", b"/v1/files/%b"), (b"GET", b"/v1/files/%b/content")):
        with pytest.raises(GatewayError) as refused:
            find_route(method, path % given, {})
        assert refused.value.kind is Kind.MALFORMED_REQUEST


@pytest.mark.parametrize("path", [b"/v1/files/", b"/v1/files//content", b"/v1/files/a/b", b"/v1/batches/b/content"])
def test_ids_are_one_segment(path: bytes) -> None:
    with pytest.raises(GatewayError) as refused:
        find_route(b"GET", path, {})
    assert refused.value.kind is Kind.ROUTE_NOT_FOUND


def test_a_template_is_no_path_of_its_own() -> None:
    assert find_route(b"POST", b"/v1beta/models/{model}:generateContent", {})[1] == "{model}"
    with pytest.raises(GatewayError) as refused:
        find_route(b"GET", b"/v1/files/{id}", {})
    assert refused.value.kind is Kind.MALFORMED_REQUEST


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
    [
        (b"GET", b"/v1/embeddings", b"POST"),
        (b"HEAD", b"/v1/models", b"GET"),
        (b"DELETE", b"/v1/models/m", b"GET"),
        (b"DELETE", b"/v1/files", b"POST, GET"),
        (b"POST", b"/v1/files/f", b"GET, DELETE"),
        (b"PUT", b"/v1/files/f/content", b"GET"),
        (b"/v1/files", b"/v1/files", b"POST, GET"),
    ],
)
def test_a_wrong_method_is_told_the_right_one(method: bytes, path: bytes, allowed: bytes) -> None:
    with pytest.raises(GatewayError) as refused:
        find_route(method, path, {})
    assert refused.value.kind is Kind.METHOD_NOT_ALLOWED
    assert refused.value.headers == ((b"allow", allowed),)
