"""Through the hub and back: what becomes of requests, answers, streams and failures on the way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import Fidelity, LossReport, Outcome
from gatewright.core.surface import Dialect
from gatewright.core.traits import Traits
from gatewright.core.usage import Usage
from gatewright.dialects import anthropic, google, openai
from gatewright.dialects.openai.responses import RESPONSES
from gatewright.testing import answers
from gatewright.translate.hub import AnswerStream, Translation, apply_traits, read_wish, translate

ASK: dict[str, Any] = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}


def translation(
    body: dict[str, Any],
    client: Dialect = anthropic.MESSAGES,
    upstream: Dialect = openai.CHAT,
    *,
    stream: bool = False,
    fidelity: Fidelity = "warn",
    traits: Traits | None = None,
) -> Translation:
    fields = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])
    wish = read_wish(client, fields, "m", stream=stream, response_id="req_1", created=5, fidelity=fidelity)
    return translate(wish, upstream, "their-name", traits or Traits())


def sent(it: Translation) -> dict[str, Any]:
    request: dict[str, Any] = msgspec.json.decode(it.render_request())
    return request


# -- requests ---------------------------------------------------------------------------------------------------------


def test_the_request_names_the_upstreams_model() -> None:
    request = sent(translation(ASK))
    assert request["model"] == "their-name"
    assert request["messages"] == [{"role": "user", "content": "hi"}]


def test_traits_rename_and_leave_out() -> None:
    report = LossReport()
    traits = Traits(renames={"a": "b"}, unsupported=frozenset(("c", "stream_options")))
    assert apply_traits({"a": 1, "c": 2, "d": 3, "stream_options": 4}, traits, report) == {"b": 1, "d": 3}
    assert [(loss.path, loss.outcome) for loss in report.entries] == [("c", Outcome.DROPPED)]
    assert apply_traits({"a": 1, "b": 2}, traits, report) == {"b": 2}, "what the client spelled itself stays"


def test_what_is_kept_at_a_vendor_is_refused_towards_any_other() -> None:
    body = {"model": "m", "input": "hi", "previous_response_id": "resp_1"}
    with pytest.raises(GatewayError) as refused:
        translation(body, RESPONSES, openai.CHAT).render_request()
    assert (refused.value.kind, refused.value.param) == (Kind.UNSUPPORTED_FEATURE, "previous_response_id")
    assert sent(translation(body, RESPONSES, RESPONSES))["previous_response_id"] == "resp_1"


def test_fidelity_decides_what_a_loss_means() -> None:
    body = ASK | {"top_k": 3}
    without = Traits(has_top_k=False)
    with pytest.raises(GatewayError, match="top-k"):
        translation(body, fidelity="strict", traits=without).render_request()
    it = translation(body, traits=without)
    assert "top_k" not in sent(it)
    assert [loss.path for loss in it.report.entries] == ["sampling.top_k"]


SEARCH: dict[str, Any] = {"type": "web_search_20250305", "name": "web_search"}
WEATHER: dict[str, Any] = {"name": "weather", "input_schema": {"type": "object"}}


def test_a_tool_hosted_elsewhere_is_left_out_and_told() -> None:
    it = translation(ASK | {"tools": [SEARCH, WEATHER], "tool_choice": {"type": "any"}})
    request = sent(it)
    assert [tool["function"]["name"] for tool in request["tools"]] == ["weather"]
    assert request["tool_choice"] == "required"
    assert [(loss.path, loss.outcome) for loss in it.report.entries] == [("tools[0]", Outcome.DROPPED)]
    alone = translation(ASK | {"tools": [SEARCH], "tool_choice": {"type": "auto"}})
    assert sent(alone).keys() & {"tools", "tool_choice"} == set()


def test_a_tool_hosted_elsewhere_that_must_be_called_is_refused() -> None:
    with pytest.raises(GatewayError, match="hosted by another vendor") as refused:
        sent(translation(ASK | {"tools": [SEARCH], "tool_choice": {"type": "any"}}))
    assert refused.value.kind is Kind.UNSUPPORTED_FEATURE


def test_dialects_of_different_families_do_not_meet() -> None:
    with pytest.raises(TypeError, match="different families"):
        translation(ASK, anthropic.MESSAGES, openai.EMBEDDINGS)


# -- answers ----------------------------------------------------------------------------------------------------------


def test_an_answer_comes_back_under_the_published_name() -> None:
    body, usage = translation(ASK).render_answer(answers.chat_completion())
    answer = msgspec.json.decode(body)
    assert (answer["type"], answer["model"], answer["content"][0]["text"]) == ("message", "m", answers.TEXT)
    assert usage == Usage(input_total=9, output_total=5)


@pytest.mark.parametrize("body", [b"", b"[]", b"not json", b'{"choices":7}', b'{"choices":[{"message":"x"}]}'])
def test_an_answer_that_is_none_is_no_empty_success(body: bytes) -> None:
    with pytest.raises(GatewayError) as refused:
        translation(ASK).render_answer(body)
    assert refused.value.kind is Kind.UPSTREAM_BAD_RESPONSE
    assert "not usable" in refused.value.message


def test_a_provider_that_would_not_stream_is_told_as_a_stream() -> None:
    body, usage = translation(ASK | {"stream": True}, stream=True).render_answer(answers.chat_completion())
    assert body.startswith(b"event: message_start\n")
    assert b'"type":"message_stop"' in body
    assert answers.TEXT.encode() in body
    assert usage == Usage(input_total=9, output_total=5)


def test_embeddings_come_back_in_the_clients_form() -> None:
    it = translation({"content": {"parts": [{"text": "a"}]}}, google.EMBED_CONTENT, openai.EMBEDDINGS)
    assert sent(it)["input"] in ("a", ["a"])
    body, usage = it.render_answer(answers.embeddings())
    assert msgspec.json.decode(body)["embedding"]["values"]
    assert usage is not None
    with pytest.raises(TypeError, match="never streamed"):
        it.open_stream()


def test_counts_come_back_in_the_clients_form() -> None:
    it = translation({"model": "m", "messages": ASK["messages"]}, anthropic.COUNT_TOKENS, google.COUNT_TOKENS)
    assert sent(it)["contents"]
    assert it.render_answer(b'{"totalTokens":31}') == (b'{"input_tokens":31}', None)


# -- streams ----------------------------------------------------------------------------------------------------------

CHUNKS = [answers.sse(chunk) for chunk in answers.chat_chunks(include_usage=True)]


def opened(client: Dialect = anthropic.MESSAGES) -> AnswerStream:
    it = translation(ASK | {"stream": True}, client, stream=True)
    it.render_request()
    return it.open_stream()


def test_a_stream_is_written_as_it_comes() -> None:
    stream = opened()
    pieces = [stream.feed(chunk) for chunk in [*CHUNKS, b"data: [DONE]\n\n"]]
    out = b"".join([*pieces, stream.end()])
    assert out.startswith(b"event: message_start\n")
    assert out.count(b"text_delta") == len(answers.WORDS)
    assert out.endswith(b'data: {"type":"message_stop"}\n\n')
    assert b'"model":"m"' in out
    assert (stream.usage, stream.finished, stream.done, stream.error) == (
        Usage(input_total=9, output_total=5),
        True,
        True,
        None,
    )
    assert b"".join(stream.split(out)) == out


def test_the_beginning_is_held_until_the_model_says_something() -> None:
    stream = opened()
    first = CHUNKS[0].replace(answers.WORDS[0].encode(), b"") if answers.WORDS[0].encode() in CHUNKS[0] else CHUNKS[0]
    assert stream.feed(b": busy\n\n") == b""
    held = stream.feed(first)
    assert held == b"" or b"text_delta" in held


def test_a_failure_at_once_leaves_nothing_written() -> None:
    stream = opened()
    out = stream.feed(answers.sse(b'{"error":{"message":"out of memory","code":500}}'))
    assert out == b""
    assert stream.error is not None
    assert "out of memory" in stream.error.message
    assert (stream.feed(CHUNKS[0]), stream.end(), stream.done) == (b"", b"", False)


def test_a_failure_in_the_middle_is_told_in_the_clients_words() -> None:
    stream = opened()
    assert b"".join(stream.feed(chunk) for chunk in CHUNKS[:3])
    assert stream.feed(answers.sse(b'{"error":{"message":"out of memory","code":500}}')) == b""
    assert stream.error is not None
    event = stream.fail(stream.error, "req_1")
    assert event.startswith(b"event: error\n")
    assert b"out of memory" in event


def test_an_answer_that_breaks_off_is_not_whole() -> None:
    stream = opened()
    for chunk in CHUNKS[:3]:
        stream.feed(chunk)
    stream.end()
    assert stream.error is not None
    assert stream.error.kind is Kind.UPSTREAM_CUT
    assert not stream.done
