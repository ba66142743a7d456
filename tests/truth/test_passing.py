"""Recorded answers of surfaces that are passed through: every byte but the model stays, and usage is what was said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.truth.recordings import FOLDER, is_here

from gatewright.dialects import DIALECTS
from gatewright.translate.identity import render_name, rewrite_answer

pytestmark = pytest.mark.truth

BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
SURFACES = {"images": "openai.images.generations", "audio": "openai.audio.transcriptions"}
OPENAI_FORM = ("openai", "mistral", "groq", "azure", "together", "fireworks")
"""Providers whose images and transcripts have OpenAI's form; the others' APIs are their own."""


def load() -> list[tuple[str, str, Any]]:
    """`(path, dialect, answer)` of every recording with a JSON answer."""
    found = []
    for line in (FOLDER / "INDEX.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["surface"] in SURFACES and row["provider"] in OPENAI_FORM:
            response = json.loads((FOLDER / row["path"]).read_text())["response"]
            if isinstance(response.get("body"), dict) and response["status"] in (None, 200):
                found.append((row["path"], SURFACES[row["surface"]], response["body"]))
    return found


FOUND = load() if is_here() else []


@pytest.mark.parametrize("recorded", FOUND or [None], ids=[path for path, _, _ in FOUND] or ["none"])
def test_passed_answers(recorded: tuple[str, str, Any]) -> None:
    _, dialect, answer = recorded
    for spelling in ({"separators": (",", ":")}, {"indent": 2}):
        body = json.dumps(answer, ensure_ascii=False, **spelling).encode()  # type: ignore[arg-type]
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
