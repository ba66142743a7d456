"""The events of a Responses stream."""

from __future__ import annotations

import pytest
from msgspec import Raw

from gatewright.core.errors import GatewayError, Kind
from gatewright.dialects.openai.responses.stream_events import (
    DELTAS,
    DONES,
    StreamEvent,
    is_whole,
    item_head,
    key_of,
    owner_of,
    read_event,
)


def test_every_delta_has_its_end() -> None:
    assert {name.replace(".delta", ".done") for name in DELTAS} == DONES.keys()
    assert DONES["response.refusal.done"] == ("message", "content")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'{"type":"response.output_text.delta","delta":"a","obfuscation":"xyz"}', "response.output_text.delta"),
        (b'{"type":"response.output_text.delta","delta":"a\\ud800"}', "response.output_text.delta"),
        (b'{"type":"response.something.new","delta":{"x":1}}', None),
        (b'{"type":"response.something.new","delta":"x"}', "response.something.new"),
        (b'{"error":{"message":"m"}}', ""),
    ],
)
def test_events_that_do_not_matter_may_have_any_shape(data: bytes, kind: str | None) -> None:
    event = read_event(data)
    assert (None if event is None else event.type) == kind


@pytest.mark.parametrize(
    "data", [b"", b"{", b"5", b"[]", b'{"type":5}', b'{"type":"error","item_id":5,"error":{}}', b'{"type":"\xff"}']
)
def test_events_that_nobody_can_read(data: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        read_event(data)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


@pytest.mark.parametrize(
    ("member", "key"), [("content", ("content", 2)), ("summary", ("summary", 0)), ("call", ("call", 0))]
)
def test_slots(member: str, key: tuple[str, int]) -> None:
    assert key_of(StreamEvent(content_index=2), member) == key


@pytest.mark.parametrize(
    ("part", "owner"),
    [
        (b'{"type":"output_text"}', "message"),
        (b'{"type":"refusal"}', "message"),
        (b'{"type":"reasoning_text"}', "reasoning"),
        (b'{"type":"summary_text"}', "reasoning"),
        (b'{"type":"hologram"}', None),
        (b"[]", None),
        (b"", None),
    ],
)
def test_which_item_a_part_belongs_to(part: bytes, owner: str | None) -> None:
    assert owner_of(StreamEvent(part=Raw(part)))[0] == owner


def test_heads_of_items() -> None:
    head = item_head(Raw(b'{"type":"function_call","id":"f","call_id":"c","name":"n"}'))
    assert (head.type, head.id, head.call_id, head.name) == ("function_call", "f", "c", "n")
    odd = item_head(Raw(b'{"type":"x","id":"i","name":{"a":1}}'))
    assert (odd.type, odd.id, odd.name) == ("x", "i", None)
    with pytest.raises(GatewayError):
        item_head(Raw(b"5"))


@pytest.mark.parametrize(("data", "whole"), [(b'{"type":"a"}', True), (b'{"type":"a', False), (b"", False)])
def test_what_is_cut(data: bytes, whole: bool) -> None:
    assert is_whole(data) is whole
