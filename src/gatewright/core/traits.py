"""What one upstream does otherwise than its dialect says: data about a host or a model, never code."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field


class Traits(Struct, frozen=True, kw_only=True):
    """How to speak a dialect to one host and model. The defaults are the dialect as its vendor defines it."""

    renames: dict[str, str] = field(default_factory=dict)
    """Top-level request members by other names (`max_completion_tokens` → `max_tokens`)."""
    unsupported: frozenset[str] = frozenset()
    """Top-level request members that are left out, because the host refuses requests that hold them."""
    max_output_tokens: int | None = None
    """The model's output limit, for dialects that demand one; None when it is not known."""
    has_developer_role: bool = True
    """Whether `developer` messages are understood; else they are sent as `system`."""
    has_system_role: bool = True
    """Whether `system` messages are understood; else they are sent as `developer`."""
    has_mid_system: bool = False
    """Whether system messages may stand inside the conversation, where the dialect makes that a question."""
    tool_id_form: Literal["any", "alnum9", "max40"] = "any"
    """`alnum9`: ids of tool calls must be nine letters or digits (Mistral); `max40`: no longer than 40 characters
    (OpenAI). Others are hashed."""
    has_top_k: bool = True
    """Whether `top_k` may be written, where the dialect's own vendor has it not."""
    reasoning_member: str = "reasoning_content"
    """Where thoughts of an assistant message are written when it is sent back."""
    replays_reasoning: bool = False
    """Whether the host wants an assistant's thoughts back in later requests."""
    has_json_schema: bool = True
    """Whether JSON Schema output is understood; else a JSON mode, or a forced tool, stands in."""
    has_adaptive_reasoning: bool = False
    """Whether the model chooses its own budget of thought (Anthropic's adaptive thinking)."""


DEFAULT = Traits()
