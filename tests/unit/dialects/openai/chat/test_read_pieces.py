from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.chat import Citation
from gatewright.core.errors import Kind
from gatewright.core.events import Failure, TokenLogprob
from gatewright.core.loss import LossReport
from gatewright.dialects.openai.chat.read_pieces import read_citation, read_failure, read_logprob
from gatewright.dialects.openai.chat.write_pieces import write_citation, write_logprobs
from gatewright.wire.json_object import JsonObject


def reader(value: Any) -> JsonObject:
    return JsonObject.parse(msgspec.json.encode(value), "x", Kind.UPSTREAM_BAD_RESPONSE)


def plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        ({"message": "m", "code": 429}, Kind.UPSTREAM_RATE_LIMITED, "429"),
        ({"message": "m", "code": "503"}, Kind.UPSTREAM_OVERLOADED, "503"),
        ({"message": "m", "status_code": 400, "code": "tool_use_failed"}, Kind.UPSTREAM_REJECTED, "tool_use_failed"),
        ({"message": "m", "code": 401}, Kind.UPSTREAM_CREDENTIAL_REJECTED, "401"),
        ({"message": "m", "code": 502}, Kind.UPSTREAM_FAILED, "502"),
        ({"message": "m", "code": 504}, Kind.UPSTREAM_TIMEOUT, "504"),
        ({"message": "m", "type": "overloaded_error"}, Kind.UPSTREAM_OVERLOADED, None),
        ({"message": "m", "type": "invalid_request_error"}, Kind.UPSTREAM_REJECTED, None),
        ({"message": "m", "type": "server_error", "code": True}, Kind.UPSTREAM_FAILED, None),
        ("m", Kind.UPSTREAM_FAILED, None),
    ],
)
def test_failures(error: Any, kind: Kind, code: str | None) -> None:
    assert read_failure(msgspec.Raw(msgspec.json.encode(error))) == Failure(kind=kind, message="m", code=code)


@pytest.mark.parametrize("raw", [b"{}", b"[]", b"1", b"{", b'"\\ud800"'])
def test_failures_without_reasons(raw: bytes) -> None:
    assert read_failure(msgspec.Raw(raw)).kind is Kind.UPSTREAM_FAILED


@pytest.mark.parametrize(
    "note",
    [
        {"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 1, "end_index": 2}},
        {"type": "url_citation", "url_citation": {"url": "u", "title": "t", "content": "quoted", "x": 1}, "y": 2},
        {"type": "url_citation", "url_citation": {"url": "u", "title": "t"}},
        {"type": "file_citation", "file": {"id": 1}},
    ],
)
def test_citations_come_and_go(note: dict[str, Any]) -> None:
    assert plain(write_citation(read_citation(reader(note)), 0, LossReport())) == note


@pytest.mark.parametrize(
    ("citation", "places"),
    [(Citation(url="u", start=1, end=2), (11, 12)), (Citation(url="u"), (10, 10))],
)
def test_citations_are_counted_from_the_message(citation: Citation, places: tuple[int, int]) -> None:
    written = write_citation(citation, 10, LossReport())
    assert written is not None
    cited = written["url_citation"]
    assert (cited["url"], cited["title"], cited["start_index"], cited["end_index"]) == ("u", "", *places)


def test_log_probabilities_come_and_go() -> None:
    token = {
        "token": "a",
        "logprob": -0.5,
        "bytes": [97],
        "top_logprobs": [{"token": "b", "logprob": -2.0, "bytes": None}],
    }
    read = read_logprob(reader(token))
    assert read == TokenLogprob("a", -0.5, (97,), (TokenLogprob("b", -2.0),))
    assert write_logprobs([read]) == [token]
