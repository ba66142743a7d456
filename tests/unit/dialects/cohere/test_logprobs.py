from __future__ import annotations

import pytest
from msgspec import Raw

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import TokenLogprob
from gatewright.dialects.cohere.logprobs import read_logprob, write_logprob


@pytest.mark.parametrize(
    ("raw", "token"),
    [
        (b'{"text":"ab","token_ids":[1,2],"logprobs":[-0.5,-0.25]}', TokenLogprob("ab", -0.75)),
        (b'{"text":"a","token_ids":[1],"logprobs":[-0.5]}', TokenLogprob("a", -0.5)),
        (b'{"token_ids":[]}', TokenLogprob("", 0.0)),
    ],
)
def test_a_chunk_is_one_token(raw: bytes, token: TokenLogprob) -> None:
    assert read_logprob(Raw(raw), "logprobs[0]") == token


@pytest.mark.parametrize("raw", [b"7", b'{"logprobs":["a"]}', b'{"text":1}'])
def test_chunks_nobody_could_read(raw: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        read_logprob(Raw(raw), "logprobs[0]")
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def test_tokens_of_others() -> None:
    assert write_logprob(TokenLogprob("a", -0.5)) == {"text": "a", "token_ids": [], "logprobs": [-0.5]}
