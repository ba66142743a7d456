"""One level of a JSON object, and the names that the gateway looks for in a request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

Fields = dict[str, msgspec.Raw]
"""Every value keeps the bytes it was spelled with."""

KNOWN: Final = frozenset(
    # Any request's.
    """
    model stream messages max_tokens temperature top_p top_k seed stop n tools tool_choice parallel_tool_calls user
    metadata service_tier reasoning thinking frequency_penalty presence_penalty logprobs top_logprobs response_format
    """
    # OpenAI's chat and text completions.
    """
    max_completion_tokens stream_options functions function_call modalities audio verbosity store prompt_cache_key
    reasoning_effort logit_bias prediction web_search_options safety_identifier prompt suffix best_of echo
    """
    # OpenAI's responses, embeddings and what is passed through.
    """
    input instructions max_output_tokens max_tool_calls previous_response_id conversation background text include
    truncation dimensions encoding_format query documents top_n voice size quality
    """
    # Anthropic's and Cohere's.
    """
    system stop_sequences cache_control output_config container mcp_servers context_management p k safety_mode
    citation_options strict_tools texts images inputs input_type embedding_types output_dimension truncate
    """
    # Ollama's.
    """
    options format think keep_alive raw template context
    """
    # Google's, as it spells them and as its servers take them too, and Bedrock's.
    """
    contents content systemInstruction system_instruction generationConfig generation_config safetySettings
    safety_settings toolConfig tool_config cachedContent cached_content labels serviceTier requests taskType task_type
    title outputDimensionality output_dimensionality generateContentRequest generate_content_request inferenceConfig
    additionalModelRequestFields additionalModelResponseFieldPaths guardrailConfig performanceConfig promptVariables
    requestMetadata outputConfig
    """.split()
)
"""Members of requests that are read here, in whatever dialect, as they are spelled there."""
_FOLDED: Final = {name.casefold(): name for name in KNOWN}


def find_respelled(names: Iterable[str]) -> tuple[str, str] | None:
    """A name that is a known one but for large and small letters, and the known one.

    Servers in Go or .NET take the one for the other, and the last one wins: what was checked would not be what counts.
    Their rules also fold the long s and the Kelvin sign, as `casefold` does.
    """
    for name in names:
        if name not in KNOWN:
            known = _FOLDED.get(name.casefold())
            if known is not None:
                return name, known
    return None
