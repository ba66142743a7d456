"""How an answer ended, in both vocabularies."""

from __future__ import annotations

import pytest
from msgspec import Raw

from gatewright.core.chat import Extension
from gatewright.core.events import Finish, FinishReason
from gatewright.dialects.anthropic.finish import read_finish, stop_members
from gatewright.dialects.anthropic.vocabulary import NAME


@pytest.mark.parametrize(
    ("word", "has_calls", "reason"),
    [
        ("end_turn", False, "stop"),
        ("end_turn", True, "tool_calls"),
        ("stop_sequence", False, "stop"),
        ("max_tokens", True, "length"),
        ("model_context_window_exceeded", False, "length"),
        ("compaction", False, "length"),
        ("tool_use", True, "tool_calls"),
        ("tool_use", False, "stop"),
        ("pause_turn", False, "pause"),
        ("refusal", False, "content_filter"),
        ("a_new_reason", False, "stop"),
        (None, False, "stop"),
    ],
)
def test_stop_reasons_are_read_and_written_back(word: str | None, has_calls: bool, reason: FinishReason) -> None:
    finish = read_finish(word, None, None, has_calls=has_calls, has_answer=False)
    assert (finish.reason, finish.native) == (reason, word)
    written = stop_members(finish, has_calls=has_calls, has_refusal=False)["stop_reason"]
    assert written == (word or "end_turn")


def test_the_call_of_the_stand_in_is_no_call() -> None:
    finish = read_finish("tool_use", None, None, has_calls=False, has_answer=True)
    assert (finish.reason, finish.native) == ("stop", None)
    both = read_finish("tool_use", None, None, has_calls=True, has_answer=True)
    assert (both.reason, both.native) == ("tool_calls", "tool_use")


@pytest.mark.parametrize(
    ("finish", "has_calls", "has_refusal", "word"),
    [
        (Finish(reason="stop", native="stop", dialect="openai.chat"), False, False, "end_turn"),
        (Finish(reason="stop"), True, False, "tool_use"),
        (Finish(reason="stop"), False, True, "refusal"),
        (Finish(reason="stop", stop_sequence="###"), False, False, "stop_sequence"),
        (Finish(reason="length", native="MAX_TOKENS", dialect="google.generate_content"), True, False, "max_tokens"),
        (Finish(reason="tool_calls"), True, False, "tool_use"),
        (Finish(reason="content_filter"), False, False, "refusal"),
        (Finish(reason="pause"), False, False, "pause_turn"),
        (None, True, False, "tool_use"),
        (None, False, False, "end_turn"),
    ],
)
def test_foreign_finishes(finish: Finish | None, has_calls: bool, has_refusal: bool, word: str) -> None:
    members = stop_members(finish, has_calls=has_calls, has_refusal=has_refusal)
    assert members["stop_reason"] == word
    assert members["stop_sequence"] == (None if finish is None else finish.stop_sequence)


def test_a_broken_answer_is_no_clean_end() -> None:
    finish = Finish(reason="error", native="MALFORMED_FUNCTION_CALL", dialect="google.generate_content")
    members = stop_members(finish, has_calls=False, has_refusal=False)
    assert members["stop_reason"] == "refusal"
    assert "MALFORMED_FUNCTION_CALL" in members["stop_details"]["explanation"]


def test_members_of_its_own_come_back() -> None:
    extra = Extension(NAME, {"stop_details": Raw(b'{"type":"refusal"}')})
    finish = read_finish("refusal", None, extra, has_calls=False, has_answer=False)
    assert stop_members(finish, has_calls=False, has_refusal=False)["stop_details"] == Raw(b'{"type":"refusal"}')
