"""Recorded traffic of every OpenAI-compatible host through the bypass: nothing changes but what policy changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.truth.recordings import Recording, data_of, in_pieces, of, renamed
from tests.truth.recordings import recorded as recorded_of

from gatewright.core.surface import Dialect
from gatewright.core.usage import Usage
from gatewright.dialects import DIALECTS
from gatewright.translate.identity import IdentityStream, parse_request, render_name, render_request, rewrite_answer

pytestmark = pytest.mark.truth

BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
FOUND = of("openai.chat", "openai.completions", "openai.embeddings")
NAME = "published/name"
SPELLINGS: list[dict[str, Any]] = [{}, {"separators": (",", ":")}, {"indent": 2}]
"""How servers and clients write JSON: spaced, compact, indented."""
CUTS = (1, 7, 64, 1_000_000_000)


def recorded(choose: Callable[[Recording], Any]) -> pytest.MarkDecorator:
    return recorded_of([recording for recording in FOUND if choose(recording)])


def dialect_of(recording: Recording) -> Dialect:
    return BY_NAME[recording.dialect]


def members(body: bytes) -> dict[str, bytes]:
    raw = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return {name: bytes(value) for name, value in raw.items()}


def agrees(usage: Usage | None, reported: Any) -> bool:
    """Whether what was read is what was recorded."""
    if not reported:
        return usage is None
    if usage is None:
        return False
    total = reported.get("total_tokens")
    prompt = reported.get("prompt_tokens", total)
    completion = reported.get("completion_tokens", 0)
    if total is not None and total > prompt + completion:
        completion = total - prompt  # reasoning that xAI and Google count in the total alone
    return (usage.input_total, usage.output_total) == (prompt, completion)


@recorded(lambda recording: recording.request is not None)
def test_requests(recording: Recording) -> None:
    for spelling in SPELLINGS:
        sent = json.dumps(recording.request, ensure_ascii=False, **spelling).encode()
        fields, name, stream = parse_request(sent)
        assert name == recording.request["model"]
        assert stream is bool(recording.request.get("stream"))
        body, hidden = render_request(dialect_of(recording), fields, render_name("upstream/name"), stream=stream)
        before, after = members(sent), members(body)
        assert after.pop("model") == b'"upstream/name"'
        del before["model"]
        options = json.loads(before.pop("stream_options", b"null")) or {}
        asked = json.loads(after.pop("stream_options", b"null")) or {}
        assert after == before
        assert list(after) == list(before)
        assert asked == (options | {"include_usage": True} if stream else options)
        assert hidden is (stream and not options.get("include_usage"))


@recorded(lambda recording: not recording.stream and recording.status == 200)
def test_answers(recording: Recording) -> None:
    answer = recording.answer
    expected = answer | {"model": NAME} if "model" in answer else answer
    for spelling in SPELLINGS:
        sent = json.dumps(answer, ensure_ascii=False, **spelling).encode()
        body, usage = rewrite_answer(dialect_of(recording), sent, render_name(NAME))
        assert body == json.dumps(expected, ensure_ascii=False, **spelling).encode()
        assert agrees(usage, answer.get("usage"))
        assert rewrite_answer(dialect_of(recording), sent, None) == (sent, usage)


@recorded(lambda recording: not recording.stream and recording.status >= 400)
def test_faults(recording: Recording) -> None:
    fault = dialect_of(recording).read_fault(json.dumps(recording.answer).encode(), {})
    error = recording.answer.get("error", recording.answer)
    assert fault.message == (error if isinstance(error, str) else error.get("message") or error["detail"])
    code = error.get("code") if isinstance(error, dict) else None
    assert fault.code == (None if code is None else str(code))


def what_passes(recording: Recording, *, hide_usage: bool) -> tuple[bytes, Any, bool]:
    """The stream as a client should get it, the usage it reports, and whether a failure ends it."""
    passed: list[bytes] = []
    reported = None
    for event in in_pieces(recording.text):
        text = data_of(event)
        if not text.startswith("{"):
            passed.append(event)
            continue
        document = json.loads(text)
        if document.get("error"):
            return b"".join([*passed, event]), reported, True
        reported = document.get("usage") or reported
        if not (hide_usage and document.get("usage") and document.get("choices") == []):
            passed.append(event.replace(text.encode(), renamed(text, NAME).encode()))
    return b"".join(passed), reported, False


@recorded(lambda recording: recording.stream)
def test_streams(recording: Recording) -> None:
    for hide_usage in (False, True):
        expected, reported, fails = what_passes(recording, hide_usage=hide_usage)
        for size in CUTS:
            codec = IdentityStream(dialect_of(recording), render_name(NAME), hide_usage=hide_usage)
            out = [codec.feed(recording.text[at : at + size]) for at in range(0, len(recording.text), size)]
            out.append(codec.end())
            assert b"".join(out) == expected
            assert agrees(codec.usage, reported)
            assert codec.done is not fails
            assert (codec.error is not None) is fails
