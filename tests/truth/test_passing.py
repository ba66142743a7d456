"""Recorded answers of surfaces that are passed through: every byte but the model stays, and usage is what was said."""

from __future__ import annotations

import json

import pytest
from tests.truth.recordings import Recording, of, recorded

from gatewright.dialects import DIALECTS
from gatewright.translate.identity import render_name, rewrite_answer

pytestmark = pytest.mark.truth

BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
FOUND = [
    each
    for each in of("openai.images.generations", "openai.audio.transcriptions")
    if each.answer is not None and each.status == 200
]


@recorded(FOUND)
def test_passed_answers(recording: Recording) -> None:
    dialect, answer = recording.dialect, recording.answer
    for spelling in ({"separators": (",", ":")}, {"indent": 2}):
        body = json.dumps(answer, ensure_ascii=False, **spelling).encode()
        out, usage = rewrite_answer(BY_NAME[dialect], body, render_name("published"))
        assert json.loads(out) == answer | ({"model": "published"} if isinstance(answer.get("model"), str) else {})
        assert len(out) - len(body) == (len("published") - len(answer["model"]) if "model" in answer else 0)
        said = answer.get("usage") or {}
        tokens = (
            said.get("input_tokens", said.get("prompt_tokens")),
            said.get("output_tokens", said.get("completion_tokens")),
        )
        heard = said.get("seconds", said.get("prompt_audio_seconds", answer.get("duration")))
        if usage is None:
            assert (tokens, heard) == ((None, None), None)
        else:
            assert (usage.input_total, usage.output_total) == tuple(count or 0 for count in tokens)
            assert usage.audio_s == heard
