import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.core.chat import Message, Opaque, Text, ToolCall, ToolResult, carry, tool_names, uncarry

NAMES = st.sampled_from(["openai.chat", "anthropic.messages", "google.generate_content", "bedrock.converse"])


@given(NAMES, st.text(), NAMES)
def test_a_blob_survives_the_opaque_string_of_any_dialect(issuer: str, value: str, host: str) -> None:
    if issuer == host and value.startswith("gatewright."):
        return  # no vendor's blob begins so
    blob = Opaque(issuer, value)
    assert uncarry(carry(blob, host), host) == blob


def test_a_dialects_own_blob_is_not_marked() -> None:
    assert carry(Opaque("openai.chat", "a:b"), "openai.chat") == "a:b"
    assert carry(Opaque("openai.chat", "a:b"), "anthropic.messages") == "gatewright.openai.chat:a:b"


@pytest.mark.parametrize("value", ["", "plain", "gatewright.", "gatewright.without a mark", "a:b"])
def test_what_bears_no_mark_is_the_clients_own(value: str) -> None:
    assert uncarry(value, "openai.chat") == Opaque("openai.chat", value)


def test_a_results_tool_is_the_latest_call_of_its_id() -> None:
    messages = (
        Message(role="assistant", parts=(ToolCall(id="1", name="old", arguments="{}"),)),
        Message(role="assistant", parts=(Text(text="a"), ToolCall(id="1", name="new", arguments="{}"))),
        Message(role="user", parts=(ToolResult(call_id="1"),)),
    )
    assert tool_names(messages) == {"1": "new"}
