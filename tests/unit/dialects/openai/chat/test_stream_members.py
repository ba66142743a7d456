from __future__ import annotations

import msgspec
import pytest

from gatewright.dialects.openai.chat.stream_members import Chunk


def test_any_value_of_a_member_is_read() -> None:
    """Whether it makes sense is for the reader that knows everything."""
    chunk = msgspec.json.decode(
        b'{"id":"c","choices":[{"index":0,"delta":{"content":7,"images":{}},"finish_reason":[]}]}', type=Chunk
    )
    (choice,) = chunk.choices
    assert (choice.delta.content, choice.delta.images, choice.finish_reason) == (7, {}, [])


@pytest.mark.parametrize("data", [b"{}", b'{"choices":{}}', b'{"choices":[{}]}', b'{"choices":[{"delta":[]}]}'])
def test_what_has_another_shape_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(data, type=Chunk)
