"""What every wire API must do, whatever its vendor."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.core.chat import ChatRequest, Message, Text
from gatewright.core.errors import KINDS, GatewayError, Kind
from gatewright.core.loss import LossReport
from gatewright.core.secret import Secret
from gatewright.core.surface import Dialect
from gatewright.core.traits import Traits
from gatewright.core.usage import Usage, service_in
from gatewright.dialects import DIALECTS
from gatewright.testing import answers
from gatewright.translate.identity import (
    IdentityStream,
    parse_fields,
    parse_request,
    render_name,
    render_request,
    rewrite_answer,
)
from gatewright.translate.passing import PassedStream

SCANNED = [dialect for dialect in DIALECTS if dialect.is_scanned]
STREAMING = [dialect for dialect in SCANNED if dialect.has_streams]
COMPLETE = {
    "openai.chat": answers.chat_completion(),
    "openai.completions": answers.text_completion(),
    "openai.embeddings": answers.embeddings(),
}
CHUNKS = {
    "openai.chat": answers.chat_chunks(include_usage=True),
    "openai.completions": answers.text_chunks(include_usage=True),
}
"""What a healthy upstream says in the dialects whose streams are read by pattern."""
CUTS = (1, 7, 64, 1_000_000)
PUBLISHED = render_name("assistant")
SPELLINGS = ("0.70", "1e400", "-0", "12345678901234567890", "1E+2", '"\\u00e9\\/"', '{"a" :[ ]}', "null")

every_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=[dialect.name for dialect in DIALECTS])
scanned_dialect = pytest.mark.parametrize("dialect", SCANNED, ids=[dialect.name for dialect in SCANNED])
streaming_dialect = pytest.mark.parametrize("dialect", STREAMING, ids=[dialect.name for dialect in STREAMING])
PASSED = [dialect for dialect in DIALECTS if dialect.family == "passing" and dialect.has_streams]
passed_dialect = pytest.mark.parametrize("dialect", PASSED, ids=[dialect.name for dialect in PASSED])
every_kind = pytest.mark.parametrize("kind", Kind)


def events_of(dialect: Dialect) -> list[bytes]:
    """A healthy stream with everything that makes the bypass look closer."""
    chunks = [answers.sse(piece) for piece in CHUNKS[dialect.name]]
    odd = [piece.replace(b'"usage":null', b'"x":{"model":"scripted-1"},"y":1e400') for piece in chunks[1:3]]
    return [
        b": ping\n\n",
        *chunks[:2],
        *odd,
        b"event: message\n" + chunks[2],
        *chunks[3:],
        dialect.done_event + b"\n\n",
    ]


def outcome(dialect: Dialect, pieces: list[bytes], *, hide_usage: bool = True) -> tuple[object, ...]:
    """All that may not depend on how the bytes were cut."""
    codec = IdentityStream(dialect, PUBLISHED, hide_usage=hide_usage)
    out = b"".join([*[codec.feed(piece) for piece in pieces], codec.end()])
    error = codec.error
    return out, codec.usage, codec.finished, codec.done, error and (error.kind, error.message, error.body)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def test_names_are_unique_and_every_surface_names_its_dialect() -> None:
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)
    surfaces = [surface for dialect in DIALECTS for surface in dialect.surfaces]
    assert len({(surface.method, surface.path) for surface in surfaces}) == len(surfaces)
    for dialect in DIALECTS:
        assert dialect.summary.endswith(".")
        assert all(surface.dialect == dialect.name for surface in dialect.surfaces)
        assert all(name == name.lower() for name in dialect.forwarded_headers)
        names = {surface.name for surface in dialect.surfaces}
        assert len(names) == (len(dialect.surfaces) if dialect.family == "passing" else 1)
        assert not dialect.is_scanned or dialect.name in COMPLETE
        assert not (dialect.is_scanned and dialect.has_streams) or dialect.name in CHUNKS
        codecs = [dialect.chat, dialect.embeddings, dialect.count]
        assert [codec is not None for codec in codecs].count(True) <= 1
        assert dialect.family != "passing" or (
            codecs == [None] * 3 and dialect.has_streams == (dialect.reader is not None)
        )
        assert all(b"{id}" not in surface.path or not surface.names_model for surface in dialect.surfaces)


@streaming_dialect
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_any_chunking_gives_the_same(dialect: Dialect, end: bytes) -> None:
    fault = GatewayError(Kind.UPSTREAM_OVERLOADED, "no capacity")
    failing = [*events_of(dialect)[:4], dialect.render_stream_error(fault, "r"), *events_of(dialect)[4:]]
    for events in (events_of(dialect), events_of(dialect)[:-1], events_of(dialect)[:4], failing):
        data = b"".join(events).replace(b"\n", end)
        whole = outcome(dialect, [data])
        assert whole[0]
        assert [size for size in CUTS if outcome(dialect, cut(data, size)) != whole] == []


@streaming_dialect
@settings(max_examples=60, derandomize=True)
@given(drawn=st.data())
def test_any_events_in_any_pieces_give_the_same(dialect: Dialect, drawn: st.DataObject) -> None:
    error = dialect.render_stream_error(GatewayError(Kind.UPSTREAM_FAILED, "m"), "r")
    odd = [
        b": x\n\n",
        b"data: hello\n\n",
        b'data: {"model":"other"}\n\n',
        b'data: {"model":7}\n\n',
        b"id: 1\r\n\r\n",
        error,
    ]
    events = drawn.draw(st.lists(st.sampled_from([*events_of(dialect), *odd]), max_size=12))
    data = b"".join(events)
    cuts = sorted(drawn.draw(st.lists(st.integers(0, len(data)), max_size=12)))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert outcome(dialect, pieces) == outcome(dialect, [data])


@streaming_dialect
def test_stream_and_complete_answer_agree_on_usage(dialect: Dialect) -> None:
    data = b"".join(events_of(dialect))
    _, complete = rewrite_answer(dialect, COMPLETE[dialect.name], PUBLISHED)
    for hide_usage in (True, False):
        streamed = outcome(dialect, [data], hide_usage=hide_usage)
        assert streamed[1] == complete == Usage(input_total=9, output_total=5)
        assert (b'"completion_tokens"' in bytes(streamed[0])) is not hide_usage  # type: ignore[call-overload]


@scanned_dialect
def test_no_upstream_name_is_left(dialect: Dialect) -> None:
    body, usage = rewrite_answer(dialect, COMPLETE[dialect.name], PUBLISHED)
    assert usage is not None
    assert body == COMPLETE[dialect.name].replace(b'"scripted-1"', b'"assistant"')
    assert b"scripted-1" not in body


@scanned_dialect
@pytest.mark.parametrize("value", SPELLINGS)
def test_unknown_members_survive_byte_for_byte(dialect: Dialect, value: str) -> None:
    member = f'"x_unknown":{value},'.encode()
    fields, _, _ = parse_request(b"{" + member + b'"model":"m","stream":false}')
    request, _ = render_request(dialect, fields, render_name("up"), stream=False)
    assert request == b"{" + member + b'"model":"up","stream":false}'
    answer = COMPLETE[dialect.name].replace(b"{", b"{" + member, 1)
    assert rewrite_answer(dialect, answer, PUBLISHED)[0] == answer.replace(b'"scripted-1"', b'"assistant"')
    if dialect.done_event:
        sent = b"".join(events_of(dialect)).replace(b'{"id"', b"{" + member + b'"id"')
        out, *_ = outcome(dialect, [sent], hide_usage=False)
        expected = outcome(dialect, [b"".join(events_of(dialect))], hide_usage=False)[0]
        assert out == bytes(expected).replace(b'{"id"', b"{" + member + b'"id"')  # type: ignore[call-overload]


@streaming_dialect
def test_asking_for_usage_is_asked_once(dialect: Dialect) -> None:
    fields, _, stream = parse_request(b'{"model":"m","stream":true}')
    body, hidden = render_request(dialect, fields, None, stream=stream)
    assert hidden
    fields, _, stream = parse_request(body)
    assert render_request(dialect, fields, None, stream=stream) == (body, False)


@every_dialect
@every_kind
def test_every_kind_renders_and_reads_back(dialect: Dialect, kind: Kind) -> None:
    error = GatewayError(kind, 'what "was" wrong,\nand how to mend it: é', cause=RuntimeError("inner"))
    body = dialect.render_error(error, "req-1")
    msgspec.json.decode(body)
    assert dialect.read_fault(body, {}).message == error.public_message
    assert b"inner" not in body
    if not KINDS[kind].exposed:
        assert b"mend it" not in body


@streaming_dialect
@every_kind
def test_every_kind_ends_a_stream(dialect: Dialect, kind: Kind) -> None:
    error = GatewayError(kind, "what was wrong\n\nand how to mend it")
    event = dialect.render_stream_error(error, "req-1")
    assert event.endswith(b"\n\n")
    assert event.count(b"\n\n") == 1
    first, *rest = events_of(dialect)[1:3]
    codec = IdentityStream(dialect, PUBLISHED, hide_usage=True)
    out = codec.feed(first + event + b"".join(rest)) + codec.end()
    assert out.endswith(event)
    assert codec.error is not None
    assert error.public_message in codec.error.message
    assert not codec.done


@passed_dialect
@every_kind
@pytest.mark.parametrize("size", CUTS)
def test_every_kind_ends_a_stream_that_is_only_passed_through(dialect: Dialect, kind: Kind, size: int) -> None:
    error = GatewayError(kind, "what was wrong\n\nand how to mend it")
    event = dialect.render_stream_error(error, "req-1")
    begun = b'data: {"type":"x.delta","y":1e400}\n\n'
    codec = PassedStream(dialect, bytes(PUBLISHED))
    out = b"".join([codec.feed(piece) for piece in cut(begun + event + begun, size)]) + codec.end()
    assert out.startswith(begun + event)
    assert codec.error is not None
    assert error.public_message in codec.error.message
    assert not codec.done


@every_dialect
@settings(max_examples=100, derandomize=True)
@given(
    body=st.binary(max_size=60) | st.text(max_size=40).map(str.encode) | st.sampled_from([b"", b"{}", b"[[]]", b"null"])
)
def test_no_fault_is_too_odd_to_read(dialect: Dialect, body: bytes) -> None:
    assert dialect.read_fault(body, {}).message


@every_dialect
def test_credentials_never_print(dialect: Dialect) -> None:
    secret = Secret("sk-very-secret")
    error = GatewayError(Kind.INTERNAL, f"refused {secret}", cause=ValueError(f"{secret!r}"))
    assert b"very-secret" not in dialect.render_error(error, "r") + dialect.render_stream_error(error, "r")


@pytest.mark.parametrize("service", ["flex", "priority"])
@every_dialect
def test_a_service_is_asked_for_by_the_dialects_member_or_not_at_all(dialect: Dialect, service: str) -> None:
    if dialect.chat is None:
        assert not dialect.service_member
        return
    request = ChatRequest(model="m", messages=(Message(role="user", parts=(Text(text="a"),)),), service_tier=service)
    members = dialect.chat.encode_request(request, Traits(), LossReport("permissive"))
    written = {name for name, value in members.items() if service in str(value)}
    assert written == ({dialect.service_member} if dialect.service_member else set())
    if written:
        fields = parse_fields(msgspec.json.encode(members))
        assert service_in(fields[dialect.service_member]) == service
        assert dialect.chat.decode_request(fields, "m", False).service_tier == service
