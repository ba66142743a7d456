from collections.abc import Iterable

import msgspec
import pytest

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.surface import Dialect
from gatewright.core.usage import Usage
from gatewright.dialects.openai import CHAT, COMPLETIONS, EMBEDDINGS
from gatewright.translate import identity
from gatewright.translate.identity import IdentityStream, parse_request, render_name, render_request, rewrite_answer

PUBLISHED = render_name("assistant")
CUTS = (1, 7, 64, 1_000_000)
DONE = b"data: [DONE]\n\n"


def chunk(content: str = "", *, model: str | None = '"gpt"', finish: str | None = None, more: str = "") -> bytes:
    """One chunk of a chat stream; `model` as JSON, None to leave it out."""
    named = "" if model is None else f'"model":{model},'
    reason = "null" if finish is None else f'"{finish}"'
    delta = msgspec.json.encode(content).decode()
    choice = f'{{"index":0,"delta":{{"content":{delta}}},"finish_reason":{reason}}}'
    return f'data: {{"id":"c1",{named}"choices":[{choice}]{more}}}\n\n'.encode()


USAGE = ',"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}'
USAGE_CHUNK = f'data: {{"id":"c1","model":"gpt","choices":[]{USAGE}}}\n\n'.encode()
FAILURE = b'data: {"error":{"message":"out of memory","code":500}}\n\n'


def passed(
    data: bytes,
    size: int = CUTS[-1],
    *,
    published: msgspec.Raw | None = PUBLISHED,
    hide_usage: bool = False,
    dialect: Dialect = CHAT,
) -> tuple[bytes, IdentityStream]:
    """What the client gets of a stream that comes in pieces of this size, and the codec at its end."""
    codec = IdentityStream(dialect, published, hide_usage=hide_usage)
    out = [codec.feed(data[start : start + size]) for start in range(0, len(data), size)]
    return b"".join([*out, codec.end()]), codec


def refusal(body: bytes) -> GatewayError:
    with pytest.raises(GatewayError) as refused:
        parse_request(body)
    assert refused.value.kind is Kind.MALFORMED_REQUEST
    return refused.value


# -- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "name", "stream"),
    [
        (b'{"model":"m"}', "m", False),
        (b' \n{ "model" : "m" , "stream" : true } ', "m", True),
        (b'{"model":"m","stream":false}', "m", False),
        (b'{"model":"m","stream":null}', "m", False),
        (b'{"mod\\u0065l":"\\u006d \\ud83d\\ude00"}', "m 😀", False),
        (b'{"model":"first","stream":true,"model":"last","stream":false}', "last", False),
        (b'{"model":""}', "", False),
    ],
)
def test_what_a_request_asks_for(body: bytes, name: str, stream: bool) -> None:
    assert parse_request(body)[1:] == (name, stream)


@pytest.mark.parametrize(
    ("body", "words", "param"),
    [
        (b"", "is empty", None),
        (b" \n\t", "is empty", None),
        (b"{", "cut off|not valid JSON", None),
        (b'{"model":"m",}', "not valid JSON", None),
        (b'{"model":"m"} x', "not valid JSON", None),
        (b"model=m", "not valid JSON", None),
        (b"[]", "must be a JSON object", None),
        (b'"model"', "must be a JSON object", None),
        (b"null", "must be a JSON object", None),
        (b'{"model":"\xff"}', r"UTF-8 \(byte 10\)", None),
        (b'{"a":' * 100_000, "nested too deeply", None),
        (b"{}", "names no model", "model"),
        (b'{"model":null}', "must be a string", "model"),
        (b'{"model":7}', "must be a string", "model"),
        (b'{"model":["m"]}', "must be a string", "model"),
        (b'{"model":"m","stream":"true"}', "must be true or false", "stream"),
        (b'{"model":"m","stream":1}', "must be true or false", "stream"),
        (b'{"model":"m","Model":"dear"}', "`Model` is not `model`.*write `model`", "Model"),
        (b'{"MODEL":"dear","model":"m"}', "`MODEL` is not `model`", "MODEL"),
        (b'{"model":"m","\\u004dodel":"dear"}', "`Model` is not `model`", "Model"),
        (b'{"model":"m","Stream":true}', "`Stream` is not `stream`", "Stream"),
        ('{"model":"m","me\u017fsages":[]}'.encode(), "is not `messages`", "me\u017fsages"),
        (b'{"Model":"\\ud800","model":"m"}', "`Model` is not `model`", "Model"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(body: bytes, words: str, param: str | None) -> None:
    error = refusal(body)
    assert error.param == param
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(error.message)


SPELLINGS = [
    "0.70",
    "1e400",
    "-0",
    "12345678901234567890",
    "1E+2",
    '"\\u00e9\\/"',
    "[ 1 , 2 ]",
    '{ "a" : 0.10, "a" : 2 }',
    '"\\"model\\":\\"m\\""',
]


@pytest.mark.parametrize("value", SPELLINGS)
def test_values_keep_their_spelling(value: str) -> None:
    fields, _, _ = parse_request(f'{{"x": {value} , "model": "m"}}'.encode())
    body, hidden = render_request(CHAT, fields, render_name("up"), stream=False)
    assert body == f'{{"x":{value},"model":"up"}}'.encode()
    assert not hidden


def test_without_a_name_of_its_own_the_upstream_gets_the_clients() -> None:
    fields, _, _ = parse_request(b'{"model":"m\\u0020x","n":1}')
    assert render_request(CHAT, fields, None, stream=False) == (b'{"model":"m\\u0020x","n":1}', False)


def test_of_members_sent_twice_the_last_goes_on() -> None:
    fields, _, _ = parse_request(b'{"model":"a","n":1,"model":"b","n":2}')
    assert render_request(CHAT, fields, None, stream=False)[0] == b'{"model":"b","n":2}'


def test_each_attempt_renders_the_same_fields_anew() -> None:
    fields, _, _ = parse_request(b'{"model":"m","stream":true}')
    first = render_request(CHAT, fields, render_name("one"), stream=True)
    second = render_request(CHAT, fields, render_name("two"), stream=True)
    assert first == (b'{"model":"one","stream":true,"stream_options":{"include_usage":true}}', True)
    assert second == (first[0].replace(b"one", b"two"), True)
    assert fields.keys() == {"model", "stream"}


@pytest.mark.parametrize("dialect", [CHAT, COMPLETIONS])
def test_usage_of_a_stream_is_asked_for_and_hidden_only_from_who_did_not(dialect: Dialect) -> None:
    asked, _, _ = parse_request(b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}')
    assert render_request(dialect, asked, None, stream=True)[1] is False
    silent, _, _ = parse_request(b'{"model":"m","stream":true}')
    assert render_request(dialect, silent, None, stream=True)[1] is True
    assert render_request(dialect, silent, None, stream=False) == (b'{"model":"m","stream":true}', False)


def test_a_name_is_rendered_as_json() -> None:
    assert bytes(render_name('a"b\\é')) == '"a\\"b\\\\é"'.encode()


# -- complete answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"gpt","x":0.70}', b'{"model":"assistant","x":0.70}'),
        (
            b'{ "id" : 1,\n  "model" :\t"gpt" ,\r\n "x" : 1e400 }',
            b'{ "id" : 1,\n  "model" :\t"assistant" ,\r\n "x" : 1e400 }',
        ),
        (b'{"model":null}', b'{"model":"assistant"}'),
        (b'{"model":""}', b'{"model":"assistant"}'),
        (b'{"x":"\\"model\\":\\"gpt\\"","model":"gpt"}', b'{"x":"\\"model\\":\\"gpt\\"","model":"assistant"}'),
        (b'{"x": {"model": "gpt"}, "model": "gpt"}', b'{"x": {"model": "gpt"}, "model": "assistant"}'),
        (b'{"model": "gpt", "x": {"model": "gpt"}}', b'{"model": "assistant", "x": {"model": "gpt"}}'),
        (b'{"x": "model", "model": "gpt" }', b'{"x": "model", "model": "assistant" }'),
        (b'{"x": {"model": 12}, "model": 1 }', b'{"x": {"model": 12}, "model": "assistant" }'),
        (b'{"x":{"model":"gpt"}}', b'{"x":{"model":"gpt"}}'),
        (b'{ "mod\\u0065l": "gpt", "x": "model" }', b'{"model":"assistant","x":"model"}'),
        (b"{ }", b"{ }"),
    ],
)
def test_only_the_models_name_changes(body: bytes, expected: bytes) -> None:
    assert rewrite_answer(CHAT, body, PUBLISHED)[0] == expected


def test_of_two_names_the_one_that_readers_take_is_replaced() -> None:
    body, _ = rewrite_answer(CHAT, b'{"model":"a","model":"gpt"}', PUBLISHED)
    assert msgspec.json.decode(body) == {"model": "assistant"}


def test_with_many_members_of_that_name_the_answer_is_encoded_anew() -> None:
    nested = b'{"x": [' + b",".join([b'{"model": "gpt"}'] * 50) + b'], "model": "gpt"}'
    body, _ = rewrite_answer(CHAT, nested, PUBLISHED)
    assert body == nested.replace(b'"x": ', b'"x":').replace(b', "model": "gpt"}', b',"model":"assistant"}')


def test_an_answer_under_its_own_name_is_the_same_object() -> None:
    body = b'{"model":"gpt"}'
    assert rewrite_answer(CHAT, body, None)[0] is body


@pytest.mark.parametrize("dialect", [CHAT, COMPLETIONS, EMBEDDINGS])
def test_usage_is_read_on_the_side(dialect: Dialect) -> None:
    body = b'{"model":"gpt","usage":{"prompt_tokens":9,"total_tokens":14}}'
    assert rewrite_answer(dialect, body, PUBLISHED)[1] == Usage(input_total=9, output_total=5)
    assert rewrite_answer(dialect, b'{"model":"gpt"}', PUBLISHED)[1] is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"model":"gpt"', b'{"a":' * 100_000])
def test_an_answer_that_is_no_object_is_the_providers_fault(body: bytes) -> None:
    with pytest.raises(GatewayError) as refused:
        rewrite_answer(CHAT, body, PUBLISHED)
    assert refused.value.kind is Kind.UPSTREAM_BAD_RESPONSE
    assert refused.value.cause is not None


# -- streams ----------------------------------------------------------------------------------------------------------

A = '"assistant"'
TOKENS = ("model", '"model":"gpt"', "[DONE]", '"error"', '"usage":{}', '"finish_reason":"stop"', "\n\n", "é😀")
PLAIN = [chunk("Hel"), *map(chunk, TOKENS), chunk(finish="stop")]
RENAMED = [chunk("Hel", model=A), *(chunk(token, model=A) for token in TOKENS), chunk(model=A, finish="stop")]

STREAMS: dict[str, tuple[Iterable[bytes], Iterable[bytes]]] = {
    "plain": ([*PLAIN, DONE], [*RENAMED, DONE]),
    "pings": ([b": ping\n\n", *PLAIN, b": ping\n\n", DONE], [b": ping\n\n", *RENAMED, b": ping\n\n", DONE]),
    "named events": (
        [b"event: message\nid: 1\n" + chunk("a"), chunk(finish="stop"), DONE],
        [b"event: message\nid: 1\n" + chunk("a", model=A), chunk(model=A, finish="stop"), DONE],
    ),
    "no model": ([chunk("a", model=None), chunk(finish="stop"), DONE], [chunk("a", model=None), RENAMED[-1], DONE]),
    "another model": (
        [
            chunk("a"),
            chunk("b"),
            chunk("c", model='"gpt-2"'),
            chunk("d", model='"gpt-2"', finish="stop"),
            chunk("e"),
            DONE,
        ],
        [
            chunk("a", model=A),
            chunk("b", model=A),
            chunk("c", model=A),
            chunk("d", model=A, finish="stop"),
            chunk("e", model=A),
            DONE,
        ],
    ),
    "empty first": (
        [chunk("", model='""'), chunk("a"), chunk("b"), chunk(finish="stop"), DONE],
        [chunk("", model=A), chunk("a", model=A), chunk("b", model=A), RENAMED[-1], DONE],
    ),
    "null and numbers": (
        [chunk("a", model="null"), chunk("b", model="1"), chunk("c", model="12"), chunk(finish="stop"), DONE],
        [chunk("a", model=A), chunk("b", model=A), chunk("c", model=A), RENAMED[-1], DONE],
    ),
    "two in one event, none in the next": (
        [chunk("a"), chunk("b", more=',"x": {"model":"gpt"}'), chunk("c", model=None), chunk(finish="stop"), DONE],
        [
            chunk("a", model=A),
            chunk("b", model=A, more=',"x": {"model":"gpt"}'),
            chunk("c", model=None),
            RENAMED[-1],
            DONE,
        ],
    ),
    "odd spacing": (
        [
            b'data:{ "model" : "gpt" , "choices": [ ] }\n\n',
            b'data:{"model" : "gpt","choices":[]}\n\n',
            chunk(finish="stop"),
            DONE,
        ],
        [
            b'data:{ "model" : "assistant" , "choices": [ ] }\n\n',
            b'data:{"model" : "assistant","choices":[]}\n\n',
            RENAMED[-1],
            DONE,
        ],
    ),
    "escaped name": (
        [b'event: x\ndata: {"mod\\u0065l": "gpt", "x": "model"}\n\n', chunk(finish="stop"), DONE],
        [b'event: x\ndata: {"model":"assistant","x":"model"}\n\n', RENAMED[-1], DONE],
    ),
    "several data lines": (
        [
            b'data: {"model":"gpt",\ndata: "x":0.70}\n\n',
            b'id: 7\ndata: {"x":"model",\ndata: "model":"gpt"}\n\n',
            chunk(finish="stop"),
            DONE,
        ],
        [
            b'data: {"model":"assistant",\ndata: "x":0.70}\n\n',
            b'id: 7\ndata: {"x":"model",\ndata: "model":"assistant"}\n\n',
            RENAMED[-1],
            DONE,
        ],
    ),
    "not JSON": (
        [b"data: hello\n\n", b"data: [1]\n\n", b"data: {\n\n", chunk(finish="stop"), DONE],
        [b"data: hello\n\n", b"data: [1]\n\n", b"data: {\n\n", RENAMED[-1], DONE],
    ),
    "behind the end": ([*PLAIN, DONE, chunk("late"), DONE, FAILURE], [*RENAMED, DONE]),
    "spellings": (
        [chunk("a", more=f',"x":{value}') for value in SPELLINGS] + [chunk(finish="stop"), DONE],
        [chunk("a", model=A, more=f',"x":{value}') for value in SPELLINGS] + [RENAMED[-1], DONE],
    ),
    "null usage": (
        [chunk("a", more=',"usage":null'), chunk("b", more=',"usage": null'), chunk(finish="stop"), DONE],
        [chunk("a", model=A, more=',"usage":null'), chunk("b", model=A, more=',"usage": null'), RENAMED[-1], DONE],
    ),
    "null error": (
        [chunk("a", more=',"error":null'), chunk(finish="stop"), DONE],
        [chunk("a", model=A, more=',"error":null'), RENAMED[-1], DONE],
    ),
    "no closing event": (PLAIN, [*RENAMED, DONE]),
    "closing event with a space": ([*PLAIN, b"data: [DONE] \n\n"], [*RENAMED, b"data: [DONE] \n\n"]),
    "no finish reason": ([chunk("a"), DONE], [chunk("a", model=A), DONE]),
    "an unclosed rest": ([*PLAIN, b"data: {"], [*RENAMED, DONE]),
    "three empty lines": (
        [chunk("a") + b"\n", chunk("b") + b"\n", chunk(finish="stop"), DONE + b"\n"],
        [chunk("a", model=A) + b"\n", chunk("b", model=A) + b"\n", RENAMED[-1], DONE],
    ),
}


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_passes_but_for_the_models_name(name: str, size: int) -> None:
    sent, expected = map(b"".join, STREAMS[name])
    out, codec = passed(sent, size)
    assert out == expected
    assert codec.done
    assert codec.finished
    assert codec.error is None


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
@pytest.mark.parametrize("size", CUTS)
def test_other_line_ends_stay(size: int, end: bytes) -> None:
    # A CR may be half of a line end, so the last event of a stream of bare CRs shows its end only with a next byte.
    events = [*PLAIN, DONE, *([b": end\n\n"] if end == b"\r" else [])]
    sent = b"".join(events).replace(b"\n", end)
    out, codec = passed(sent, size)
    assert out == b"".join([*RENAMED, DONE]).replace(b"\n", end)
    assert codec.done


def test_under_its_own_name_nothing_changes() -> None:
    sent = b"".join([*PLAIN, USAGE_CHUNK, DONE])
    for size in CUTS:
        out, codec = passed(sent, size, published=None)
        assert out == sent
        assert codec.usage == Usage(input_total=9, output_total=5)


def test_a_plain_block_is_not_copied() -> None:
    codec = IdentityStream(CHAT, None, hide_usage=True)
    block = b"".join(PLAIN[:1])
    assert codec.feed(block) is block


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize("hide", [True, False])
def test_the_usage_chunk_is_hidden_from_who_did_not_ask(hide: bool, size: int) -> None:
    out, codec = passed(b"".join([*PLAIN, USAGE_CHUNK, DONE]), size, hide_usage=hide)
    shown = [] if hide else [USAGE_CHUNK.replace(b'"gpt"', b'"assistant"')]
    assert out == b"".join([*RENAMED, *shown, DONE])
    assert codec.usage == Usage(input_total=9, output_total=5)


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize("hide", [True, False])
def test_usage_that_rides_on_a_choice_is_read_and_shown(hide: bool, size: int) -> None:
    last = chunk(finish="stop", more=USAGE)
    out, codec = passed(chunk("a") + last + DONE, size, hide_usage=hide)
    assert out == chunk("a", model=A) + chunk(model=A, finish="stop", more=USAGE) + DONE
    assert codec.usage == Usage(input_total=9, output_total=5)


@pytest.mark.parametrize("usage", ["null", '"soon"', '{"prompt_tokens":-1}'])
def test_usage_without_sense_does_not_replace_what_is_known(usage: str) -> None:
    sent = chunk("a", more=USAGE) + chunk(finish="stop", more=f',"usage":{usage}') + DONE
    assert passed(sent)[1].usage == Usage(input_total=9, output_total=5)


def test_usage_is_that_of_the_last_report() -> None:
    more = USAGE.replace(":5", ":6")
    assert passed(chunk("a", more=USAGE) + chunk(finish="stop", more=more) + DONE)[1].usage == Usage(
        input_total=9, output_total=6
    )


@pytest.mark.parametrize("size", CUTS)
def test_a_first_chunk_without_choices_is_no_usage_chunk(size: int) -> None:
    first = b'data: {"choices":[],"created":0,"id":"","model":"","prompt_filter_results":[{"prompt_index":0}]}\n\n'
    out, codec = passed(first + chunk("a", finish="stop") + DONE, size, hide_usage=True)
    assert out == first.replace(b'"model":""', b'"model":"assistant"') + chunk("a", model=A, finish="stop") + DONE
    assert codec.usage is None


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize("before", [[], PLAIN[:2], PLAIN])
def test_a_failure_is_the_last_that_passes(before: list[bytes], size: int) -> None:
    out, codec = passed(b"".join([*before, FAILURE, chunk("late"), USAGE_CHUNK, DONE]), size)
    assert out == b"".join([*RENAMED[: len(before)], FAILURE])
    assert not codec.done
    assert codec.error is not None
    assert codec.error.kind is Kind.UPSTREAM_CUT
    assert codec.error.body == FAILURE
    assert "out of memory" in codec.error.message


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize(
    "sent", [b"", b": ping\n\n", chunk("a"), chunk("a") + chunk("b")[:-1], chunk(finish="stop")[:-1]]
)
def test_a_stream_that_just_ends_is_cut(sent: bytes, size: int) -> None:
    out, codec = passed(sent, size, published=None)
    assert sent.startswith(out)
    assert not codec.done
    assert codec.error is not None
    assert codec.error.kind is Kind.UPSTREAM_CUT
    assert codec.end() == b""


def test_an_api_without_a_closing_event_ends_without_one() -> None:
    out, codec = passed(chunk(finish="stop"), dialect=EMBEDDINGS, published=None)
    assert out == chunk(finish="stop")
    assert codec.done


def test_a_huge_event_passes_and_an_endless_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "MAX_EVENT_BYTES", 200_000)
    sent = chunk("x" * 150_000, finish="stop") + DONE
    assert passed(sent, 7)[0] == sent.replace(b'"gpt"', b'"assistant"')
    with pytest.raises(GatewayError, match="an event exceeds 200000 bytes") as refused:
        passed(b"data: " + b"x" * 300_000, 1_000)
    assert refused.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def test_half_a_surrogate_pair_becomes_the_replacement_character() -> None:
    fields, name, _ = parse_request(b'{"model":"m","x":"a\\ud83d b\\\\ud83d \\ud83d\\ude00"}')
    assert (name, bytes(fields["x"])) == ("m", b'"a\\ufffd b\\\\ud83d \\ud83d\\ude00"')


@pytest.mark.parametrize(("tier", "service"), [("flex", "flex"), ("default", "prices"), ("auto", "")])
def test_a_stream_tells_which_service_gave_it(tier: str, service: str) -> None:
    told = USAGE_CHUNK.replace(b'"usage"', b'"service_tier":"%b","usage"' % tier.encode(), 1)
    _, codec = passed(b"".join([*PLAIN, told, DONE]), 64)
    assert codec.usage == Usage(input_total=9, output_total=5, service=service)
