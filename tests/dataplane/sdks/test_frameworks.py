"""LangChain, LlamaIndex, pydantic-ai and LiteLLM, each against providers of several dialects."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
from plays.facts import COUNTS, DONE, PLAYS, WEATHER
from plays.stage import published

pytestmark = [pytest.mark.sockets, pytest.mark.sdks]

ROOT: Final = Path(__file__).parents[3]
PYTHON: Final = ROOT / ".cache/frameworks/bin/python"
PROVIDERS: Final = ("openai.chat", "anthropic.messages", "google.generate_content")
FRAMEWORKS: Final = ("langchain", "llama_index", "pydantic_ai", "lite_llm")
EXPECTED: Final[dict[str, Any]] = {
    "text": PLAYS["text"].text,
    "stream": PLAYS["text"].text,
    "usage": [COUNTS.input, COUNTS.output],
    "arguments": WEATHER.arguments,
    "done": DONE.text,
}
"""By the last word of what was told."""


@pytest.fixture(scope="module")
def told(running: Any) -> dict[str, dict[str, Any]]:
    """What each framework told of each provider."""
    assert PYTHON.is_file(), "THE FRAMEWORKS ARE NOT HERE: run `make test`, which installs requirements/frameworks.txt"
    names = [published(provider, "") for provider in PROVIDERS]
    command = [str(PYTHON), "framework_calls.py", running.address().base, running.address().key]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(ROOT / ".cache"), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    done = subprocess.run(
        [*command, *(name.removesuffix("-") for name in names)],
        cwd=Path(__file__).parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_framework(framework: str, provider: str, told: dict[str, dict[str, Any]]) -> None:
    results = told[f"{framework} {published(provider, '').removesuffix('-')}"]
    assert "failed" not in results, results["failed"]
    assert len(results) >= 2
    assert results == {what: EXPECTED[what.split()[-1]] for what in results}
