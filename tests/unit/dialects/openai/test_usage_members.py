from __future__ import annotations

import msgspec
import pytest

from gatewright.dialects.openai.usage_members import Answer, Reported


@pytest.mark.parametrize("count", [b"-1", b"1.5", b'"7"', b"1000000000001"])
def test_counts_that_cannot_be_are_refused(count: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"prompt_tokens":%b}' % count, type=Reported)


def test_what_is_not_asked_for_is_skipped() -> None:
    answer = msgspec.json.decode(b'{"model":"m","choices":[{"x":1e400}],"usage":null}', type=Answer)
    assert (bytes(answer.model), answer.usage) == (b'"m"', None)
