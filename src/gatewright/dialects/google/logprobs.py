"""`logprobsResult` of a candidate (ai.google.dev/api/generate-content#LogprobsResult), both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from gatewright.core.events import TokenLogprob


class _Token(Struct):
    token: str = ""
    logProbability: float = 0.0


class _Top(Struct):
    candidates: list[_Token] = []


class _Result(Struct):
    chosenCandidates: list[_Token] = []
    topCandidates: list[_Top] = []


class _RawResult(Struct, omit_defaults=True):
    chosenCandidates: list[Raw] = []
    topCandidates: list[Raw] = []


_decoder = msgspec.json.Decoder(_Result)
_raw_decoder = msgspec.json.Decoder(_RawResult)
_encoder = msgspec.json.Encoder()


def read_logprobs(raw: Raw) -> tuple[TokenLogprob, ...]:
    """The tokens of an answer, or of a piece of one; none when the member is in another form."""
    try:
        result = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    tops = result.topCandidates
    return tuple(
        TokenLogprob(
            token=chosen.token,
            logprob=chosen.logProbability,
            top=tuple(TokenLogprob(token=each.token, logprob=each.logProbability) for each in tops[index].candidates)
            if index < len(tops)
            else (),
        )
        for index, chosen in enumerate(result.chosenCandidates)
    )


def joined(pieces: list[Raw]) -> Raw:
    """The pieces of a streamed answer as one, each element as it was spelled."""
    if len(pieces) == 1:
        return pieces[0]
    chosen: list[Raw] = []
    tops: list[Raw] = []
    for piece in pieces:
        try:
            result = _raw_decoder.decode(piece)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        chosen += result.chosenCandidates
        tops += result.topCandidates
    return Raw(_encoder.encode(_RawResult(chosen, tops)))


def write_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """`logprobsResult` for tokens of another dialect."""
    written: dict[str, Any] = {"chosenCandidates": [_written(token) for token in tokens]}
    if any(token.top for token in tokens):
        written["topCandidates"] = [{"candidates": [_written(each) for each in token.top]} for token in tokens]
    return written


def _written(token: TokenLogprob) -> dict[str, Any]:
    return {"token": token.token, "logProbability": token.logprob}
