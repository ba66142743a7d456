"""Hostile requests on every surface that is translated: refused in the dialect's own form, or passed on as correct
HTTP and JSON; the connection goes on, the worker lives, and it has nothing to complain about."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import NamedTuple
from urllib.parse import unquote

import client_dialects
import msgspec
import pytest
import vendors
from client_dialects import Client
from suite import AUTH, build_config, run_gateway
from translated_requests import CHATS, COUNTS, EMBEDDINGS, MODEL, OPENAI_CHAT, Surface, mutations

from gatewright.core.chat import ChatRequest
from gatewright.core.errors import GatewayError
from gatewright.core.surface import Dialect
from gatewright.core.traits import Traits
from gatewright.dialects import DIALECTS
from gatewright.testing import answers
from gatewright.testing.client import Answer, PeerClosed
from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.received import Received
from gatewright.testing.steps import Step
from gatewright.testing.upstream import ScriptedUpstream
from gatewright.translate.hub import read_wish, translate
from gatewright.translate.identity import parse_fields, parse_request
from gatewright.translate.wish import Wish

CLIENTS = {client.dialect: client for client in client_dialects.CLIENTS}
SURFACES = (*CHATS, *COUNTS, *EMBEDDINGS)
each_surface = pytest.mark.parametrize("surface", SURFACES, ids=[surface.name for surface in SURFACES])
SHARE = 6
"""Over sockets goes one mutation of so many; all of them go through the codecs."""
REFUSED_OR_PASSED = frozenset((200, 400, 404))


class Parts(NamedTuple):
    """The gateway, and the one server that plays every provider."""

    gateway: GatewayProcess
    upstream: ScriptedUpstream


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    """A gateway with a model of each provider type, and one whose name is passed on to each (`any-gemini-*`)."""
    with ExitStack() as stack:
        upstream = stack.enter_context(ScriptedUpstream())
        root = upstream.url.removesuffix("/v1")
        names = [vendor.name for vendor in vendors.VENDORS]
        models = {name: {"targets": [{"provider": name, "model": "up"}]} for name in names}
        passed = {f"any-{name}-*": {"targets": [{"provider": name}]} for name in names}
        config = build_config(
            {
                vendor.name: {"type": vendor.name, "url": f"{root}/{vendor.name}{vendor.root}"}
                for vendor in vendors.VENDORS
            },
            {**models, **passed},
        )
        yield Parts(stack.enter_context(run_gateway(config)), upstream)


@pytest.fixture(autouse=True)
def _unharmed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Afterwards the gateway serves a plain call, and the providers saw nothing but correct HTTP."""
    if "parts" not in request.fixturenames:
        yield
        return
    parts: Parts = request.getfixturevalue("parts")
    parts.upstream.reset()
    parts.upstream.always(_play)
    yield
    assert parts.upstream.errors == []
    with parts.gateway.connect() as client:
        seen = CLIENTS["openai.chat"].read(
            client.send(CLIENTS["openai.chat"].render("anthropic")).receive(), stream=False
        )
        assert seen.text == vendors.TEXT


def _play(request: Received) -> tuple[Step, ...]:
    """What a healthy provider of any type answers on any of its paths. Whatever came must be JSON."""
    assert _is_object(request.body)
    name, _, action = request.target.partition("?")[0][1:].partition("/")
    if action.endswith("/embeddings"):
        inputs = json.loads(request.body)["input"]
        return answers.reply(200, answers.embeddings(inputs=len(inputs) if isinstance(inputs, list) else 1))
    if action.endswith("count_tokens"):
        return answers.reply(200, b'{"input_tokens":5}')
    if action.endswith(":countTokens"):
        return answers.reply(200, b'{"totalTokens":5}')
    return next(vendor.play(request) for vendor in vendors.VENDORS if vendor.name == name)


def _is_object(body: bytes) -> bool:
    """Whether this is a JSON object; numbers may be beyond any, and nesting beyond what this parser follows."""
    try:
        return isinstance(json.loads(body), dict)
    except RecursionError:
        return body[:1] == b"{"


def _post(target: str, body: bytes, method: str = "POST") -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: gateway.test\r\nContent-Type: application/json\r\n".encode("latin-1")
    return head + AUTH + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _upstreams(surface: Surface) -> tuple[str, ...]:
    """The models that speak another dialect of the surface's family."""
    if surface in EMBEDDINGS:
        return ("openai_compatible",)
    if surface in COUNTS:
        return "anthropic", "gemini", "bedrock"
    return tuple(vendor.name for vendor in vendors.VENDORS)


def _is_right(client: Client, answer: Answer, statuses: Iterable[int] = REFUSED_OR_PASSED) -> str | None:
    """What is wrong with an answer, or None."""
    if answer.status not in statuses:
        return f"status {answer.status}: {answer.body[:300]!r}"
    if answer.header("connection") == "close":
        return "closed the connection"
    try:
        if answer.status != 200:
            client.check_error(answer)
        elif answer.header("content-type") == "application/json":
            assert _is_object(answer.body)
        elif b"text_completion" in answer.body:
            assert answer.body.endswith(b"data: [DONE]\n\n")
        else:
            client.read_stream(answer.body)
    except (AssertionError, LookupError, TypeError, ValueError) as error:
        return f"not in form: {answer.status} {answer.body[:300]!r}: {error!r}"
    return None


def _call_all(parts: Parts, surface: Surface, requests: Iterable[tuple[str, bytes]]) -> list[str]:
    """Every request on one connection, each to the next model; what went wrong."""
    wrong: list[str] = []
    client = CLIENTS[surface.client]
    models = _upstreams(surface)
    with parts.gateway.connect() as connection:
        for index, (name, body) in enumerate(requests):
            model = models[index % len(models)]
            target = surface.path.replace(MODEL, model)
            try:
                answer = connection.send(_post(target, body.replace(MODEL.encode(), model.encode()))).receive()
            except (TimeoutError, PeerClosed) as error:
                return [*wrong, f"{name} ({model}): {error!r}"]
            problem = _is_right(client, answer)
            if problem is not None:
                wrong.append(f"{name} ({model}): {problem}")
    return wrong


@pytest.mark.sockets
@each_surface
def test_a_valid_request_is_answered(surface: Surface, parts: Parts) -> None:
    statuses = set()
    for model in _upstreams(surface):
        body = msgspec.json.encode(surface.body).replace(MODEL.encode(), model.encode())
        with parts.gateway.connect() as connection:
            answer = connection.send(_post(surface.path.replace(MODEL, model), body)).receive()
        # A provider that cannot take one of the media makes it an error, which says so.
        assert _is_right(CLIENTS[surface.client], answer, [200, 400]) is None, answer
        statuses.add(answer.status)
    assert 200 in statuses


@pytest.mark.sockets
@each_surface
def test_members_of_any_other_kind(surface: Surface, parts: Parts) -> None:
    every = list(mutations(surface.body))
    assert len(every) > 50
    assert _call_all(parts, surface, every[::SHARE]) == []


LISTS = frozenset(("messages", "contents", "input", "tools", "system"))
BODIES = {
    "empty": b"",
    "null": b"null",
    "a number": b"5",
    "a string": b'"x"',
    "a list": b"[]",
    "an empty object": b"{}",
    "cut": b'{"model":"',
    "two documents": b"{}{}",
    "bytes": bytes(range(256)),
    "UTF-16": '{"model":"m"}'.encode("utf-16"),
    "nested lists": b"[" * 100_000 + b"]" * 100_000,
    "nested objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a form": b"model=m",
}


@pytest.mark.sockets
@each_surface
def test_bodies_that_are_no_request(surface: Surface, parts: Parts) -> None:
    client = CLIENTS[surface.client]
    with parts.gateway.connect() as connection:
        for name, body in BODIES.items():
            answer = connection.send(_post(surface.path.replace(MODEL, "anthropic"), body)).receive()
            # Converse requires no member, nor does counting.
            statuses = [200, 400] if name == "an empty object" and MODEL in surface.path else [400]
            assert _is_right(client, answer, statuses) is None, (name, answer)


@pytest.mark.sockets
@pytest.mark.parametrize("surface", CHATS[:9], ids=[surface.name for surface in CHATS[:9]])
def test_ten_thousand_messages(surface: Surface, parts: Parts) -> None:
    grown = {name: value[:1] * 10_000 for name, value in surface.body.items() if name in LISTS}
    assert _call_all(parts, surface, [("10,000", msgspec.json.encode({**surface.body, **grown}))]) == []


# Through the codecs alone: every mutation, to every dialect.


def _dialect_of(surface: Surface) -> tuple[Dialect, bool]:
    path = surface.path.partition("?")[0].replace(MODEL, "{model}").encode()
    return next((dialect, bool(own.stream)) for dialect in DIALECTS for own in dialect.surfaces if own.path == path)


def _read(surface: Surface, body: bytes) -> Wish:
    dialect, stream = _dialect_of(surface)
    if dialect.names_model_in_path:
        fields, model = parse_fields(body), "m"
    else:
        fields, model, stream = parse_request(body)
    return read_wish(dialect, fields, model, stream=stream, response_id="r", created=1, fidelity="warn")


@each_surface
def test_every_mutation_is_refused_or_can_be_written_in_every_dialect(surface: Surface) -> None:
    dialect, _ = _dialect_of(surface)
    others = [other for other in DIALECTS if other.family == dialect.family]
    read = 0
    for name, body in mutations(surface.body):
        try:
            wish = _read(surface, body)
        except GatewayError:
            continue
        read += 1
        assert isinstance(wish.request, ChatRequest) is (surface not in EMBEDDINGS)
        for other in others:
            try:
                written = translate(wish, other, "up", Traits()).render_request()
            except GatewayError:
                continue
            assert _is_object(written), (name, other.name)
    assert read > 10


# Paths and methods.

NAMES = {
    "unknown": "nope",
    "an encoded slash": "a%2Fb",
    "a slash": "a/b",
    "dots": "..",
    "dots and a path": "../../v1/models",
    "encoded dots": "%2e%2e%2f%2e%2e",
    "NUL": "%00",
    "an encoded line end": "x%0d%0aX-Injected:%201",
    "bytes above 127": "%ff%fe",
    "half a surrogate pair": "%ed%a0%80",
    "a cut percent sign": "a%",
    "10 KB": "a" * 10_000,
    "a colon": "a:b",
    "an encoded colon": "a%3AgenerateContent",
    "a star": "any-gemini-*x",
    "a space": "a%20b",
    "a question mark": "a%3Fb",
    "braces": "%7Bmodel%7D",
}
IN_PATH = [surface for surface in SURFACES if MODEL in surface.path]


@pytest.mark.sockets
@pytest.mark.parametrize("surface", IN_PATH, ids=[surface.name for surface in IN_PATH])
def test_odd_names_in_the_path(surface: Surface, parts: Parts) -> None:
    body = msgspec.json.encode(surface.body)
    client = CLIENTS[surface.client]
    with parts.gateway.connect() as connection:
        for name, spelled in NAMES.items():
            answer = connection.send(_post(surface.path.replace(MODEL, spelled), body)).receive()
            assert answer.header("x-injected") is None
            assert _is_right(client, answer, [404, 400, 200] if name == "a star" else [404, 400]) is None, (
                name,
                answer,
            )


@pytest.mark.sockets
@pytest.mark.parametrize("vendor", vendors.VENDORS, ids=[vendor.name for vendor in vendors.VENDORS])
@pytest.mark.parametrize("name", NAMES)
def test_odd_names_that_are_passed_on(name: str, vendor: vendors.Vendor, parts: Parts) -> None:
    model = f"any-{vendor.name}-{unquote(NAMES[name])}"
    client = CLIENTS["anthropic.messages" if vendor is not vendors.ANTHROPIC else "openai.chat"]
    with parts.gateway.connect() as connection:
        answer = connection.send(client.render(model)).receive()
    assert _is_right(client, answer) is None, answer
    for request in parts.upstream.requests:
        # Whatever the name holds, it stays one part of the path.
        assert request.target.count("/") <= 4, request.target
        assert ".." not in request.target.split("/")
        assert request.header("x-injected") is None


SHAPED = {
    "/v1/messages": "anthropic.messages",
    "/v1/messages/count_tokens": "anthropic.messages",
    "/v1/responses": "openai.responses",
    "/v1/chat/completions": "openai.chat",
    "/v1/embeddings": "openai.chat",
    "/v1beta/models/gemini:generateContent": "google.generate_content",
    "/v1beta/models/gemini:streamGenerateContent": "google.generate_content",
    "/v1beta/models/gemini:countTokens": "google.generate_content",
    "/v1beta/models/gemini:embedContent": "google.generate_content",
    "/v1beta/models/gemini:batchEmbedContents": "google.generate_content",
    "/model/bedrock/converse": "bedrock.converse",
    "/model/bedrock/converse-stream": "bedrock.converse",
    "/v2/chat": "cohere.chat",
    "/v2/embed": "cohere.chat",
    "/api/chat": "ollama.chat",
    "/api/embed": "ollama.chat",
}


@pytest.mark.sockets
@pytest.mark.parametrize("path", SHAPED)
def test_wrong_methods(path: str, parts: Parts) -> None:
    client = CLIENTS[SHAPED[path]]
    with parts.gateway.connect() as connection:
        for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"):
            answer = connection.send(_post(path, b"{}", method)).receive()
            assert _is_right(client, answer, [405]) is None, (method, answer)
            assert answer.header("allow") == "POST"
        head = connection.send(_post(path, b"", "HEAD")).receive("HEAD")
        assert (head.status, head.header("connection")) == (405, None)


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1beta/models/gemini:foo", "google.generate_content"),
        ("/v1beta/models/gemini:", "google.generate_content"),
        ("/v1beta/models/:generateContent", "google.generate_content"),
        ("/v1beta/models/gemini:generateContent:generateContent", "google.generate_content"),
        ("/v1beta/models/gemini:generateContent/", "google.generate_content"),
        ("/v1beta/models/gemini", "google.generate_content"),
        ("/v1beta/models", "google.generate_content"),
        ("/api/tags", "ollama.chat"),
    ],
)
def test_unknown_methods_of_a_model(path: str, dialect: str, parts: Parts) -> None:
    with parts.gateway.connect() as connection:
        for _ in range(2):
            answer = connection.send(_post(path, b'{"contents":[]}')).receive()
            assert _is_right(CLIENTS[dialect], answer, [404, 405]) is None, answer


LISTINGS = {
    "/v1/models": "openai.chat",
    "/v1/models?anthropic": "anthropic.messages",
    "/v1beta/models": "google.generate_content",
    "/api/tags": "ollama.chat",
}


@pytest.mark.sockets
@pytest.mark.parametrize("path", LISTINGS)
def test_model_listings(path: str, parts: Parts) -> None:
    dialect = LISTINGS[path]
    path = path.partition("?")[0]
    headers = b"anthropic-version: 2023-06-01\r\n" if dialect == "anthropic.messages" else b""

    def get(target: str, key: bytes = AUTH) -> bytes:
        return f"GET {target} HTTP/1.1\r\nHost: gateway.test\r\n".encode("latin-1") + key + headers + b"\r\n"

    with parts.gateway.connect() as connection:
        listed = connection.send(get(path)).receive("GET")
        assert listed.status == 200
        assert b"bedrock" in listed.body
        odd = [f"{path}?pageSize=-1&pageToken=%00", f"{path}?{'a' * 5_000}"]
        for target in odd:
            assert connection.send(get(target)).receive("GET").status == 200
        for spelled in NAMES.values():
            answer = connection.send(get(f"{path}/{spelled}")).receive("GET")
            if path != "/api/tags":
                assert _is_right(CLIENTS[dialect], answer, [404, 400, 200] if "*" in spelled else [404, 400]) is None
        refused = connection.send(get(path, b"")).receive("GET")
        assert _is_right(CLIENTS[dialect], refused, [401, 403]) is None, refused


@pytest.mark.sockets
@each_surface
def test_a_call_without_a_key(surface: Surface, parts: Parts) -> None:
    request = _post(surface.path.replace(MODEL, "anthropic"), msgspec.json.encode(OPENAI_CHAT.body)).replace(AUTH, b"")
    with parts.gateway.connect() as connection:
        for _ in range(2):
            answer = connection.send(request).receive()
            assert _is_right(CLIENTS[surface.client], answer, [401, 403]) is None, answer
    assert parts.upstream.requests == []
