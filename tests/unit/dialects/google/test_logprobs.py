import msgspec
import pytest
from msgspec import Raw

from gatewright.core.events import TokenLogprob
from gatewright.dialects.google.logprobs import joined, read_logprobs, write_logprobs

RESULT = {
    "chosenCandidates": [
        {"token": "a", "tokenId": 7, "logProbability": -0.5},
        {"token": "b", "tokenId": 8, "logProbability": -1.5},
    ],
    "topCandidates": [{"candidates": [{"token": "a", "logProbability": -0.5}, {"token": "x", "logProbability": -2}]}],
}
TOKENS = (
    TokenLogprob("a", -0.5, top=(TokenLogprob("a", -0.5), TokenLogprob("x", -2.0))),
    TokenLogprob("b", -1.5),
)


def test_tokens_with_what_else_was_likely() -> None:
    assert read_logprobs(Raw(msgspec.json.encode(RESULT))) == TOKENS


@pytest.mark.parametrize(
    "text", [b"null", b"[]", b'{"chosenCandidates":5}', b'{"chosenCandidates":[{"token":1}]}', b"{"]
)
def test_another_form_gives_none(text: bytes) -> None:
    assert read_logprobs(Raw(text)) == ()


def test_tokens_of_another_dialect() -> None:
    assert read_logprobs(Raw(msgspec.json.encode(write_logprobs(TOKENS)))) == TOKENS
    assert "topCandidates" not in write_logprobs([TokenLogprob("a", -0.5)])


def test_pieces_of_a_stream_are_one_result_with_every_member_of_the_tokens() -> None:
    pieces = [Raw(msgspec.json.encode({"chosenCandidates": [token]})) for token in RESULT["chosenCandidates"]]
    whole = msgspec.json.decode(joined([*pieces, Raw(b'{"chosenCandidates":5}')]))
    assert whole == {"chosenCandidates": RESULT["chosenCandidates"]}
    assert joined(pieces[:1]) is pieces[0]
