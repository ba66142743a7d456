"""Surfaces that are passed through: which model and which target are meant, what is sent, what comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from gateways import Answer, HostConfig, World

from gatewright.config.documents import Gateway
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.core.reply import Reply
from gatewright.core.secret import Secret
from gatewright.core.surface import Dialect, Surface
from gatewright.core.usage import Usage
from gatewright.dialects import DIALECTS
from gatewright.filters.budget import BUDGET
from gatewright.pipeline.attempts import OpenStream, fail_over
from gatewright.pipeline.build import build_snapshot
from gatewright.pipeline.lifecycle import open_exchange, settle
from gatewright.pipeline.missing_usage import fill_usage
from gatewright.pipeline.provider import ProviderType, Upstream, build_upstream
from gatewright.store.memory import MemoryCounters
from gatewright.translate.passing import OpaqueStream, PassedStream

BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
IMAGES, EDITS = BY_NAME["openai.images.generations"], BY_NAME["openai.images.edits"]
SPEECH, HEARD = BY_NAME["openai.audio.speech"], BY_NAME["openai.audio.transcriptions"]
FILES, BATCHES = BY_NAME["openai.files"], BY_NAME["openai.batches"]
PATHS = {name: "/" + name.replace(".", "/") for name in BY_NAME if BY_NAME[name].family == "passing"}


def speaks(name: str, paths: dict[str, str]) -> ProviderType[Any]:
    def build(provider: str, config: HostConfig) -> Upstream:
        credential = ("authorization", Secret("Bearer theirs"))
        return build_upstream(provider, config, url=config.url or "", paths=paths, credential=credential)

    return ProviderType(name, HostConfig, build, "A host.")


PROVIDERS = [
    speaks("all", PATHS),
    speaks("deaf", {"openai.chat": "/chat"}),
    speaks("azure", {"openai.images.generations": "/{model}/images?v=1", "openai.files": "/files?v=1"}),
]
MODELS: dict[str, Any] = {
    "m": [{"provider": "a", "model": "up"}],
    "same": [{"provider": "a"}],
    "mixed": [{"provider": "deaf", "model": "d"}, {"provider": "b", "model": "up-b", "weight": 1}],
    "two": [{"provider": "a", "model": "up-a"}, {"provider": "b", "model": "up-b"}],
    "deaf": [{"provider": "deaf"}],
    "azure": [{"provider": "azure", "model": "dep/1"}],
    "gpt-*": [{"provider": "a"}],
    "resting": [{"provider": "a", "weight": 0}, {"provider": "b"}],
}


def snapshot(world: World, *names: str) -> Any:
    document = {
        "providers": {
            "a": {"type": "all", "url": "http://a.test/v1", "share_account": True},
            "b": {"type": "all", "url": "http://b.test/v1", "share_account": True},
            "deaf": {"type": "deaf", "url": "http://deaf.test/v1", "share_account": True},
            "azure": {"type": "azure", "url": "http://azure.test/v1", "share_account": True},
        },
        "models": {name: {"targets": MODELS[name]} for name in names or MODELS},
    }
    gateway = msgspec.convert(document, Gateway)
    return build_snapshot(gateway, version=1, providers=PROVIDERS, filters=[], ports=world.ports)


class Call:
    """One exchange and what became of it."""

    def __init__(
        self, dialect: Dialect, body: bytes = b"", *script: Any, verb: str = "", models: Any = (), **headers: Any
    ) -> None:
        self.world = World(*([0.0] * 9))
        self.world.script = list(script)
        self.dialect = dialect
        self.x: Exchange = self.world.exchange(snapshot(self.world, *models), body, **headers)
        self.x.surface = next((s for s in dialect.surfaces if s.name == verb), dialect.surfaces[0])
        self.x.dialect = dialect

    def run(self) -> Reply | OpenStream:
        return asyncio.run(open_exchange(self.x, self.dialect, self.world.ports, self.world.send))

    def reply(self) -> Reply:
        reply = self.run()
        assert isinstance(reply, Reply)
        return reply

    def refused(self) -> GatewayError:
        with pytest.raises(GatewayError) as refused:
            self.run()
        return refused.value

    def sent(self) -> tuple[bytes, dict[bytes, bytes], bytes]:
        """Request line, headers and body of what was sent (the last time)."""
        self.run()
        head, _, body = self.world.sent[-1][1].partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        pairs = [header.split(b": ", 1) for header in lines]
        assert len({name for name, _ in pairs}) == len(pairs)
        return line, {name: value for name, value in pairs}, body


FORM_TYPE = b"multipart/form-data; boundary=XbX"
OTHER_MODEL = b'--XbX\r\nContent-Disposition: form-data; name="Model"\r\n\r\ndear\r\n'
REST = b'--XbX\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n\x00\xff\r\n--XbX--\r\n'


def form(model: bytes | None) -> bytes:
    named = b"" if model is None else b'--XbX\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n' % model
    return named + REST


# -- what is sent -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "header", "sent"),
    [
        (b'{"model": "m", "n": 1e0}', None, b'{"model":"up","n":1e0}'),
        (b'{"model": "same", "n": 1}', None, b'{"model":"same","n":1}'),
        (b'{"model": "same", "model": "m"}', None, b'{"model":"up"}'),
        (b'{"model": "m"}', b"same", b'{"model":"up"}'),
        (b'{"n": 1}', b"m", b'{"n":1,"model":"up"}'),
        (b'{"n": 1}', b"same", b'{"n":1,"model":"same"}'),
        (b'{"model": null}', b"same", b'{"model":"same"}'),
        (b'{"model": "gpt-9"}', None, b'{"model":"gpt-9"}'),
    ],
)
def test_json_names_the_targets_own_model(body: bytes, header: bytes | None, sent: bytes) -> None:
    named: dict[str, Any] = {} if header is None else {"x_gatewright_model": header}
    line, headers, got = Call(IMAGES, body, **named).sent()
    assert line == b"POST /v1/openai/images/generations HTTP/1.1"
    assert got == sent
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == b"%d" % len(sent)
    assert headers[b"authorization"] == b"Bearer theirs"
    assert b"x-gatewright-model" not in headers


@pytest.mark.parametrize(
    ("model", "header", "sent"),
    [
        (b"m", None, form(b"up")),
        (b"same", None, form(b"same")),
        (b"m", b"same", form(b"up")),
        (None, b"m", form(b"up")),
        (None, b"same", form(b"same")),
    ],
)
def test_a_form_names_the_targets_own_model(model: bytes | None, header: bytes | None, sent: bytes) -> None:
    named: dict[str, Any] = {} if header is None else {"x_gatewright_model": header}
    call = Call(EDITS, form(model), content_type=FORM_TYPE, **named)
    _, headers, got = call.sent()
    assert got == sent
    assert headers[b"content-type"] == FORM_TYPE
    assert headers[b"content-length"] == b"%d" % len(sent)
    assert call.x.is_media


def pay_by_budget(call: Call, prices: dict[str, dict[str, str]], **config: Any) -> None:
    """Put the exchange under a budget, with these models and no others."""
    world = call.world
    world.ports = msgspec.structs.replace(world.ports, counters=MemoryCounters(world.clock), wall=world.clock)
    document = {
        "providers": {"a": {"type": "all", "url": "http://a.test/v1"}},
        "models": {name: {"targets": [{"provider": "a"}]} for name in prices},
        "catalogue": {f"all/{name}": {"prices": row} for name, row in prices.items()},
        "policies": [{"filter": "budget", "name": "b", "config": {"per": "total", **config}}],
    }
    gateway = msgspec.convert(document, Gateway)
    call.x.snapshot = build_snapshot(gateway, version=1, providers=PROVIDERS, filters=[BUDGET], ports=world.ports)


@pytest.mark.parametrize(
    ("dialect", "body", "headers", "sent"),
    [
        (EDITS, form(b"same"), {"content_type": FORM_TYPE}, form(b"gpt-9")),
        (EDITS, form(None), {"content_type": FORM_TYPE, "x_gatewright_model": b"same"}, form(b"gpt-9")),
        (IMAGES, b'{"model":"same"}', {}, b'{"model":"gpt-9"}'),
        (IMAGES, b"{}", {"x_gatewright_model": b"same"}, b'{"model":"gpt-9"}'),
    ],
)
def test_the_model_that_answers_for_a_dry_budget_is_the_one_that_is_named(
    dialect: Dialect, body: bytes, headers: dict[str, Any], sent: bytes
) -> None:
    call = Call(dialect, body, **headers)
    pay_by_budget(call, {"same": {"image": "0.1"}, "gpt-9": {"image": "0.0001"}}, usd=0.001, when_dry="gpt-9")
    assert call.sent()[2] == sent
    assert call.x.published_model == "gpt-9"


def test_filters_see_the_text_of_a_form() -> None:
    prompt = b'--XbX\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nan "ugly" \xc3\xa9\r\n'
    call = Call(EDITS, prompt + form(b"m"), content_type=FORM_TYPE)
    call.run()
    assert {name: msgspec.json.decode(value) for name, value in call.x.fields.items()} == {
        "prompt": 'an "ugly" é',
        "model": "m",
    }


@pytest.mark.parametrize(
    ("dialect", "verb", "given", "body", "line", "content_type"),
    [
        (FILES, "files_create", "", REST, b"POST /v1/openai/files", FORM_TYPE),
        (FILES, "files_list", "", b"ignored", b"GET /v1/openai/files?limit=2&after=a%2Fb", None),
        (FILES, "files_get", "file-1", b"", b"GET /v1/openai/files/file-1", None),
        (FILES, "files_delete", "a:b", b"", b"DELETE /v1/openai/files/a%3Ab", None),
        (FILES, "files_content", "file-1", b"", b"GET /v1/openai/files/file-1/content", None),
        (BATCHES, "batches_create", "", b'{"a":1,"a":2}', b"POST /v1/openai/batches", b"application/json"),
        (BATCHES, "batches_cancel", "b1", b"", b"POST /v1/openai/batches/b1/cancel", None),
    ],
)
def test_what_the_provider_holds_is_asked_for_as_it_was_asked(
    dialect: Dialect, verb: str, given: str, body: bytes, line: bytes, content_type: bytes | None
) -> None:
    more = {"content_type": content_type} if content_type else {}
    call = Call(dialect, body, verb=verb, x_gatewright_model=b"m", **more)
    call.x.path_id = given or None
    call.x.query = b"limit=2&after=a%2Fb" if verb == "files_list" else b""
    sent, headers, got = call.sent()
    assert sent == line + b" HTTP/1.1"
    assert headers.get(b"content-type") == content_type
    has_body = line.startswith(b"POST")
    assert got == (body if has_body else b"")
    assert headers.get(b"content-length") == (b"%d" % len(body) if has_body else None)


def test_a_providers_own_query_and_a_model_in_its_path() -> None:
    line, _, _ = Call(IMAGES, b'{"model": "azure"}').sent()
    assert line == b"POST /v1/dep%2F1/images?v=1 HTTP/1.1"
    call = Call(FILES, verb="files_get", x_gatewright_model=b"azure")
    call.x.path_id, call.x.query = "f", b"x=1"
    assert call.sent()[0] == b"GET /v1/files/f?v=1&x=1 HTTP/1.1"


def test_of_the_clients_headers_only_those_of_the_api_go_on() -> None:
    call = Call(
        SPEECH, b'{"model": "m"}', accept=b"audio/mpeg", cookie=b"c", authorization=b"Bearer mine", traceparent=b"0"
    )
    _, headers, _ = call.sent()
    assert (headers[b"accept"], headers[b"traceparent"]) == (b"audio/mpeg", b"0")
    assert b"cookie" not in headers
    assert headers[b"authorization"] == b"Bearer theirs"
    assert headers[b"x-request-id"] == b"req_1"


# -- which model, which target ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "body", "headers", "kind", "says"),
    [
        (IMAGES, b"{}", {}, Kind.MALFORMED_REQUEST, "x-gatewright-model"),
        (IMAGES, b"[]", {}, Kind.MALFORMED_REQUEST, "JSON object"),
        (IMAGES, b"", {}, Kind.MALFORMED_REQUEST, "empty"),
        (IMAGES, b'{"model": 7}', {}, Kind.MALFORMED_REQUEST, "`model` must be a string"),
        (IMAGES, b'{"model": "nobody"}', {}, Kind.MODEL_NOT_FOUND, "no model `nobody`"),
        (IMAGES, b"{}", {"x_gatewright_model": b"\xff"}, Kind.MODEL_NOT_FOUND, "no model"),
        (IMAGES, b'{"model": "deaf"}', {}, Kind.UNSUPPORTED_FEATURE, "does not offer openai.images.generations"),
        (EDITS, form(b"m"), {"content_type": b"multipart/form-data"}, Kind.MALFORMED_REQUEST, "names no boundary"),
        (EDITS, form(b"m") + form(b"m"), {"content_type": FORM_TYPE}, Kind.MALFORMED_REQUEST, "cannot be read"),
        (EDITS, OTHER_MODEL + form(b"m"), {"content_type": FORM_TYPE}, Kind.MALFORMED_REQUEST, "`Model` is not"),
        (EDITS, form(None), {"content_type": FORM_TYPE}, Kind.MALFORMED_REQUEST, "names no model"),
        (EDITS, form(b"nobody"), {"content_type": FORM_TYPE}, Kind.MODEL_NOT_FOUND, "nobody"),
        (EDITS, form(b"m"), {}, Kind.MALFORMED_REQUEST, "with its Content-Type"),
        (FILES, b"", {}, Kind.MALFORMED_REQUEST, "3 speak openai.files"),
        (FILES, b"", {"x_gatewright_model": b"nobody"}, Kind.MODEL_NOT_FOUND, "nobody"),
        (FILES, b"", {"x_gatewright_model": b"deaf"}, Kind.UNSUPPORTED_FEATURE, "does not offer openai.files"),
    ],
)
def test_who_is_meant_must_be_clear(
    dialect: Dialect, body: bytes, headers: dict[str, Any], kind: Kind, says: str
) -> None:
    call = Call(dialect, body, **headers)
    error = call.refused()
    assert error.kind is kind
    assert says in error.message
    assert call.world.sent == []


@pytest.mark.parametrize("query", [b"a b", b"a\tb", b"a#b", b"caf\xe9"])
def test_a_query_that_is_none_goes_nowhere(query: bytes) -> None:
    call = Call(FILES, verb="files_list", x_gatewright_model=b"m")
    call.x.query = query
    assert call.refused().kind is Kind.MALFORMED_REQUEST


@pytest.mark.parametrize(
    ("models", "chosen"), [(("gpt-*",), "gpt-*"), (("same", "m"), "same"), (("deaf", "gpt-*", "m"), "gpt-*")]
)
def test_the_only_provider_needs_no_name(models: tuple[str, ...], chosen: str) -> None:
    call = Call(FILES, verb="files_list", models=models)
    assert isinstance(call.run(), Reply)
    assert (call.x.published_model, call.x.target.provider) == (chosen, "a")


def test_a_target_that_rests_holds_nothing() -> None:
    call = Call(FILES, verb="files_list", models=("resting",))
    call.run()
    assert call.x.target.provider == "b"


def test_where_no_provider_speaks_it_that_is_told() -> None:
    error = Call(FILES, models=("deaf",)).refused()
    assert error.kind is Kind.UNSUPPORTED_FEATURE
    assert "openai.files" in error.message


def test_targets_that_do_not_speak_it_are_passed_over() -> None:
    call = Call(IMAGES, b'{"model": "mixed"}')
    assert msgspec.json.decode(call.sent()[2]) == {"model": "up-b"}
    assert call.x.attempts == 1


def test_another_target_may_do_what_the_first_could_not() -> None:
    call = Call(IMAGES, b'{"model": "two"}', Answer(503, b"{}"))
    assert msgspec.json.decode(call.sent()[2]) == {"model": "up-b"}
    assert [name for name, _ in call.world.sent] == ["a", "b"]


@pytest.mark.parametrize("verb", [surface.name for surface in (*FILES.surfaces, *BATCHES.surfaces)])
def test_what_one_provider_holds_is_never_asked_of_another(verb: str) -> None:
    dialect = FILES if verb.startswith("files") else BATCHES
    call = Call(dialect, verb=verb, x_gatewright_model=b"two")
    call.world.script = [GatewayError(Kind.UPSTREAM_TIMEOUT, "late")]
    assert call.refused().kind is Kind.UPSTREAM_TIMEOUT
    assert [name for name, _ in call.world.sent] == ["a"]


def test_a_stream_that_failed_at_once_is_not_asked_of_another_either() -> None:
    call = Call(FILES, verb="files_content", x_gatewright_model=b"two")
    call.world.script = [Answer(200, None, content_type=b"application/x-ndjson")]
    assert isinstance(call.run(), OpenStream)
    error = GatewayError(Kind.UPSTREAM_CUT, "cut")
    with pytest.raises(GatewayError) as refused:
        asyncio.run(fail_over(call.x, FILES, call.world.ports, call.world.send, error))
    assert refused.value is error


# -- what comes back ----------------------------------------------------------------------------------------------

DRAWN = Usage(output_total=3, output_image=3, images=0)
TWO_S = Usage(audio_s=2.0)
UNCOUNTED = Usage(estimated=True, uncounted=True)


@pytest.mark.parametrize(
    ("dialect", "verb", "body", "content_type", "expected", "usage"),
    [
        (IMAGES, "", b'{"data": [], "usage": {"output_tokens": 3}}', b"text/plain", None, DRAWN),
        (
            IMAGES,
            "",
            b'{"model": "up", "data": []}',
            b"application/json",
            b'{"model": "m", "data": []}',
            Usage(images=0),
        ),
        (HEARD, "", b'{"text": "a"}', b"application/json", None, None),
        (HEARD, "", b'{"text": "a", "usage": {"seconds": 2}}', b"Application/JSON; x=y", None, TWO_S),
        (HEARD, "", b"WEBVTT\n\n", b"text/vtt", None, None),
        (HEARD, "", b"not json", b"application/json", None, None),
        (SPEECH, "", b"\x00\xff", b"audio/mpeg", None, None),
        (SPEECH, "", b'{"model": "up"}', b"application/json", None, None),
        (FILES, "files_get", b'{"id": "f"}', b"application/json", None, None),
        (FILES, "files_content", b'{"model": "up", "usage": {"input_tokens": 1}}', b"application/json", None, None),
        (BATCHES, "batches_get", b'{"model": "up", "usage": {"input_tokens": 1}}', b"application/json", None, None),
    ],
)
def test_answers(
    dialect: Dialect, verb: str, body: bytes, content_type: bytes, expected: bytes | None, usage: Usage | None
) -> None:
    answer = Answer(200, body, content_type=content_type, set_cookie=b"c", retry_after=b"1")
    call = Call(dialect, b'{"model": "m"}', answer, verb=verb, x_gatewright_model=b"m")
    reply = call.reply()
    assert reply.body == (body if expected is None else expected)
    surface: Surface = call.x.surface or dialect.surfaces[0]
    assert reply.content_type == (b"application/json" if surface.answer == "json" else content_type)
    assert reply.headers == ((b"retry-after", b"1"),)
    assert call.x.usage == usage
    assert not call.x.stream


def test_a_file_keeps_its_name() -> None:
    answer = Answer(200, b"x", content_disposition=b"attachment; filename=a")
    reply = Call(FILES, b"", answer, verb="files_content", x_gatewright_model=b"m").reply()
    assert reply.headers == ((b"content-disposition", b"attachment; filename=a"),)
    assert reply.content_type == b"application/octet-stream"


@pytest.mark.parametrize("dialect", [IMAGES, FILES, BATCHES])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]"])
def test_an_answer_that_must_be_an_object_and_is_none_is_a_bad_one(dialect: Dialect, body: bytes) -> None:
    call = Call(dialect, b'{"model": "m"}', Answer(200, body), x_gatewright_model=b"m")
    assert call.refused().kind is Kind.UPSTREAM_BAD_RESPONSE


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Kind.UPSTREAM_REJECTED),
        (404, Kind.UPSTREAM_REJECTED),
        (401, Kind.UPSTREAM_CREDENTIAL_REJECTED),
        (302, Kind.UPSTREAM_BAD_RESPONSE),
    ],
)
def test_errors_are_judged_as_everywhere(status: int, kind: Kind) -> None:
    body = b'{"error": {"message": "no such file"}}'
    error = Call(FILES, b"", Answer(status, body), x_gatewright_model=b"m").refused()
    assert error.kind is kind
    assert error.body == (body if kind is Kind.UPSTREAM_REJECTED else None)


@pytest.mark.parametrize(
    ("dialect", "verb", "content_type", "codec"),
    [
        (IMAGES, "", b"text/event-stream; charset=utf-8", PassedStream),
        (HEARD, "", b"text/event-stream", PassedStream),
        (SPEECH, "", b"application/x-ndjson", OpaqueStream),
        (FILES, "files_content", b"text/event-stream", OpaqueStream),
        (FILES, "files_content", b"application/x-ndjson", OpaqueStream),
    ],
)
def test_streams(dialect: Dialect, verb: str, content_type: bytes, codec: type) -> None:
    answer = Answer(200, None, content_type=content_type)
    call = Call(dialect, b'{"model": "m"}', answer, verb=verb, x_gatewright_model=b"m")
    stream = call.run()
    assert isinstance(stream, OpenStream)
    assert isinstance(stream.codec, codec)
    assert stream.content_type == (b"text/event-stream" if codec is PassedStream else content_type)
    assert call.x.stream


@pytest.mark.parametrize("dialect", [BY_NAME["openai.moderations"], FILES])
def test_a_stream_where_there_is_none_is_a_bad_answer_and_closed(dialect: Dialect) -> None:
    answer = Answer(200, None, content_type=b"text/event-stream")
    call = Call(dialect, b'{"model": "m"}', answer, x_gatewright_model=b"m")
    assert call.refused().kind is Kind.UPSTREAM_BAD_RESPONSE
    assert answer.aborted


def test_a_made_thing_is_told_with_its_own_status() -> None:
    reply = Call(
        FILES, b"", Answer(201, b'{"id": "file-1"}', content_type=b"application/json"), x_gatewright_model=b"m"
    ).run()
    assert isinstance(reply, Reply)
    assert (reply.status, reply.body) == (201, b'{"id": "file-1"}')


# -- what it used ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "request_body", "body", "usage"),
    [
        (SPEECH, b'{"model": "m", "input": "H\xc3\xa9llo"}', b"\x00\xff", Usage(characters=5)),
        (SPEECH, b'{"model": "m"}', b"\x00\xff", UNCOUNTED),
        (IMAGES, b'{"model": "m", "n": 3}', b'{"data": [{}, {}]}', Usage(images=2)),
        (IMAGES, b'{"model": "m", "n": 3}', b'{"images": 7}', Usage(images=3, estimated=True)),
        (IMAGES, b'{"model": "m", "n": 3}', b'{"data": [{}], "usage": {"output_tokens": 9}}', None),
        # What nobody tells is not nothing.
        (BY_NAME["openai.moderations"], b'{"model": "m", "input": "x"}', b'{"results": []}', UNCOUNTED),
        (HEARD, b'{"model": "m", "file_id": "x"}', b"hello", UNCOUNTED),
        (HEARD, b'{"model": "m"}', b'{"text": "a", "usage": {"seconds": 2}}', None),
        # Of what a provider holds nothing is charged by the call.
        (FILES, b'{"model": "m"}', b'{"id": "f"}', None),
    ],
)
def test_what_the_answer_does_not_tell_is_taken_from_the_request(
    dialect: Dialect, request_body: bytes, body: bytes, usage: Usage | None
) -> None:
    content_type = b"application/json" if body.startswith(b"{") else b"application/octet-stream"
    call = Call(dialect, request_body, Answer(200, body, content_type=content_type), x_gatewright_model=b"m")
    call.reply()
    reported = call.x.usage
    call.x.sent_s = 1.0
    fill_usage(call.x)
    assert call.x.usage == (reported if usage is None else usage)


@pytest.mark.parametrize(
    ("kind", "is_charged"),
    [
        (Kind.DISCONNECTED, True),
        (Kind.UPSTREAM_CUT, True),
        (Kind.UPSTREAM_REJECTED, False),
        (Kind.UPSTREAM_CONNECT_FAILED, False),
    ],
)
def test_speech_that_failed_is_charged_where_the_provider_charges_it(kind: Kind, is_charged: bool) -> None:
    call = Call(SPEECH, b'{"model": "m", "input": "Hi"}', Answer(200, b"\x00", content_type=b"audio/mpeg"))
    call.reply()
    call.x.sent_s = 1.0
    call.x.error = GatewayError(kind, "it failed")
    fill_usage(call.x)
    assert call.x.usage == (Usage(characters=2) if is_charged else None)


def test_what_was_never_sent_used_nothing() -> None:
    call = Call(SPEECH, b'{"model": "m", "input": "Hi"}', Answer(200, b"\x00", content_type=b"audio/mpeg"))
    call.reply()
    call.x.sent_s = 0.0
    fill_usage(call.x)
    assert call.x.usage is None


TOKENS = {"input": "0.6", "output": "10", "output_audio": "12"}
SAYING = b'{"model": "v", "input": "Hello"}'


@pytest.mark.parametrize(
    ("body", "prices", "config", "is_refused"),
    [
        # Bytes tell nothing, and the characters have no price.
        (SAYING, TOKENS, {}, True),
        (SAYING, TOKENS, {"unpriced": "allow"}, False),
        (SAYING, TOKENS, {"soft": True}, False),
        (SAYING, {"input_characters": "15"}, {}, False),
        (SAYING, {"input": "0", "output": "0"}, {}, False),
        # The last event tells the tokens.
        (b'{"model": "v", "input": "Hello", "stream_format": "sse"}', TOKENS, {}, False),
    ],
)
def test_a_hard_budget_pays_no_speech_that_cannot_be_counted(
    body: bytes, prices: dict[str, str], config: dict[str, Any], is_refused: bool
) -> None:
    call = Call(SPEECH, body, Answer(200, b"\x00", content_type=b"audio/mpeg"))
    pay_by_budget(call, {"v": prices}, usd=1.0, **config)
    if is_refused:
        error = call.refused()
        assert (error.kind, "`unpriced: allow`" in error.message) == (Kind.FORBIDDEN, True)
        assert call.world.sent == []
    else:
        call.reply()


def test_transcripts_that_tell_nothing_are_paid_by_what_was_uploaded() -> None:
    part = b'--XbX\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
    fields = part % (b"model", b"", b"v") + part % (b"response_format", b"", b"text")
    body = fields + part % (b"file", b'; filename="a.mp3"', b"ID3" + bytes(799_997)) + b"--XbX--\r\n"
    call = Call(HEARD, body, Answer(200, b"hello", content_type=b"text/plain"), content_type=FORM_TYPE)
    pay_by_budget(call, {"v": {"input_audio_hour": "0.36"}}, usd=0.015)
    call.reply()
    settle(call.x, call.world.ports)
    assert call.x.usage == Usage(audio_s=100.0, estimated=True)
    assert call.x.cost_femto_usd == 10_000_000_000_000
    again = Call(HEARD, body, content_type=FORM_TYPE)
    again.world, again.x.snapshot = call.world, call.x.snapshot
    assert again.refused().kind is Kind.QUOTA_EXCEEDED
