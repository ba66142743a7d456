import pytest
from msgspec import Raw

from gatewright.core.events import Finish
from gatewright.dialects.google.finish import read_finish, read_word, write_word
from gatewright.dialects.google.members import NAME


@pytest.mark.parametrize(
    ("word", "has_calls", "reason"),
    [
        ("STOP", False, "stop"),
        ("STOP", True, "tool_calls"),
        (None, False, "stop"),
        (None, True, "tool_calls"),
        ("MAX_TOKENS", False, "length"),
        ("MAX_TOKENS", True, "length"),
        ("CONTINUATION", False, "length"),
        ("SAFETY", False, "content_filter"),
        ("SAFETY", True, "content_filter"),
        ("IMAGE_SAFETY", False, "content_filter"),
        ("MODEL_ARMOR", False, "content_filter"),
        ("UNEXPECTED_TOOL_CALL", True, "tool_calls"),
        ("UNEXPECTED_TOOL_CALL", False, "error"),
        ("MALFORMED_FUNCTION_CALL", False, "error"),
        ("MISSING_THOUGHT_SIGNATURE", False, "error"),
        ("A_NEW_WORD", False, "error"),
    ],
)
def test_why_an_answer_ended(word: str | None, has_calls: bool, reason: str) -> None:
    finish = read_finish(1, word, has_calls=has_calls, extra=None)
    assert (finish.choice, finish.reason, finish.native, finish.dialect) == (1, reason, word, NAME)
    assert write_word(finish) == word


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "STOP"),
        ("tool_calls", "STOP"),
        ("length", "MAX_TOKENS"),
        ("content_filter", "SAFETY"),
        ("pause", "OTHER"),
        ("error", "OTHER"),
    ],
)
def test_words_for_other_dialects_reasons(reason, word: str) -> None:  # type: ignore[no-untyped-def]
    assert write_word(Finish(reason=reason, native="end_turn", dialect="anthropic.messages")) == word


@pytest.mark.parametrize(
    ("spelled", "word"),
    [
        (b'"STOP"', "STOP"),
        (b"1", "STOP"),
        (b"2", "MAX_TOKENS"),
        (b"0", "FINISH_REASON_UNSPECIFIED"),
        (b"77", "77"),
        (b"-1", "-1"),
        (b"[]", "FINISH_REASON_UNSPECIFIED"),
        (None, None),
    ],
)
def test_words_may_be_numbers(spelled: bytes | None, word: str | None) -> None:
    assert read_word(None if spelled is None else Raw(spelled)) == word
