"""Streams that are passed on as they come: what is read beside them, and how they end."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.surface import Dialect
from gatewright.core.usage import Usage
from gatewright.dialects import DIALECTS
from gatewright.translate.passing import OpaqueStream, PassedStream

BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
IMAGES, SPEECH = BY_NAME["openai.images.generations"], BY_NAME["openai.audio.speech"]
PASSED = [dialect for dialect in DIALECTS if dialect.family == "passing" and dialect.has_streams]
passed = pytest.mark.parametrize("dialect", PASSED, ids=[dialect.name for dialect in PASSED])
SIZES = (1, 7, 64, 1_000_000)


def event(kind: str, **more: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **more}))


DELTA = event("speech.audio.delta", audio="A" * 200)
DONE = event("speech.audio.done", usage={"input_tokens": 2, "output_tokens": 9})
NAMED = event("x.delta", model="up") + event("x.done", model="up", inner={"model": "up"})


def outcome(codec: PassedStream | OpaqueStream, data: bytes, size: int) -> tuple[Any, ...]:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    out = b"".join([*(codec.feed(piece) for piece in pieces), codec.end()])
    return out, codec.usage, codec.done, codec.error and (codec.error.kind, codec.error.message)


@passed
@pytest.mark.parametrize("size", SIZES)
def test_events_go_on_as_they_came(dialect: Dialect, size: int) -> None:
    data = b": ping\n\n" + DELTA * 3 + DONE
    out, usage, done, error = outcome(PassedStream(dialect, b'"m"'), data, size)
    assert (out, done, error) == (data, True, None)
    assert usage is not None
    assert (usage.input_total, usage.output_total) == (2, 9)


@pytest.mark.parametrize("size", SIZES)
def test_the_model_is_renamed_where_it_is_the_answers_own(size: int) -> None:
    out, *_ = outcome(PassedStream(IMAGES, b'"m"'), NAMED, size)
    assert out == NAMED.replace(b'"model":"up"', b'"model":"m"').replace(b'{"model":"m"}', b'{"model":"up"}')
    assert outcome(PassedStream(IMAGES, None), NAMED, size)[0] == NAMED


@pytest.mark.parametrize("size", SIZES)
def test_an_end_before_the_last_event_is_a_cut(size: int) -> None:
    out, _, done, error = outcome(PassedStream(IMAGES, None), DELTA, size)
    assert (out, done) == (DELTA, False)
    assert error == (Kind.UPSTREAM_CUT, "The provider ended the stream before the answer was complete.")


def test_a_failure_is_told_in_the_providers_words_and_nothing_follows() -> None:
    codec = PassedStream(IMAGES, None)
    assert codec.feed(DELTA) == DELTA
    failure = event("error", error={"message": "out of paint", "code": "no_paint"})
    assert codec.feed(failure) == failure
    assert codec.error is not None
    assert (codec.error.kind, codec.error.code, codec.error.body) == (Kind.UPSTREAM_CUT, "no_paint", failure)
    assert "out of paint" in codec.error.message
    assert codec.feed(DONE) == codec.end() == b""


@passed
def test_a_failure_of_the_gateways_own_is_an_event(dialect: Dialect) -> None:
    told = PassedStream(dialect, None).fail(GatewayError(Kind.UPSTREAM_TIMEOUT, "late"), "r")
    assert told.endswith(b"\n\n")
    assert b"late" in told


def test_a_dialect_without_streams_has_no_codec_for_one() -> None:
    with pytest.raises(TypeError, match="moderations has no streams"):
        PassedStream(BY_NAME["openai.moderations"], None)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_no_event_stream_goes_on_piece_by_piece(size: int) -> None:
    data = b'{"model":"up","usage":{"input_tokens":1}}\n\n\r\n\xff' * 5
    assert outcome(OpaqueStream(IMAGES), data, size) == (data, None, True, None)


def test_its_failure_is_a_last_line() -> None:
    codec = OpaqueStream(IMAGES)
    assert codec.split(b"ab\n\ncd") == [b"ab\n\ncd"]
    first, line, rest = codec.fail(GatewayError(Kind.UPSTREAM_CUT, "cut"), "r").split(b"\n")
    assert first == rest == b""
    assert msgspec.json.decode(line)["error"]["message"] == "cut"


def test_no_usage_is_not_zero() -> None:
    drawn = outcome(PassedStream(IMAGES, None), event("image_generation.completed", b64_json="A"), 64)
    assert drawn[1] == Usage(images=1), "a picture is counted where no tokens are"
    spoken = outcome(PassedStream(SPEECH, None), event("speech.audio.done"), 64)
    assert spoken[1] is None
    assert outcome(PassedStream(IMAGES, None), DONE, 64)[1] == Usage(input_total=2, output_total=9, output_image=9)
