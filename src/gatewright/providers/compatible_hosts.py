"""Hosts that speak OpenAI's API with differences of their own: one row each, no code.

What a row says is from the host's own documentation of its API and from recorded traffic. `openai_compatible` serves
every host without a row.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from msgspec import Struct

from gatewright.config.documents import ProviderConfig
from gatewright.core.secret import Secret
from gatewright.core.traits import Traits
from gatewright.pipeline.provider import AnyProviderType, ProviderType, Upstream, build_upstream

_PATHS: Final = {
    "openai.chat": "/chat/completions",
    "openai.responses": "/responses",
    "openai.completions": "/completions",
    "openai.embeddings": "/embeddings",
    "openai.images.generations": "/images/generations",
    "openai.images.edits": "/images/edits",
    "openai.images.variations": "/images/variations",
    "openai.audio.transcriptions": "/audio/transcriptions",
    "openai.audio.translations": "/audio/translations",
    "openai.audio.speech": "/audio/speech",
    "openai.moderations": "/moderations",
    "cohere.rerank": "/rerank",
    "openai.files": "/files",
    "openai.batches": "/batches",
}
_CHAT: Final = ("openai.chat",)
_CHAT_EMBED: Final = ("openai.chat", "openai.embeddings")
_ENGINE: Final = ("openai.chat", "openai.completions", "openai.embeddings")
_HEARD: Final = ("openai.audio.transcriptions", "openai.audio.translations")
_HELD: Final = ("openai.files", "openai.batches")
_OLD_LIMIT: Final = {"max_completion_tokens": "max_tokens"}
"""For hosts that know only the older name of the output limit."""
_OPENAI_ONLY: Final = frozenset(
    ("store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "verbosity")
)
"""Members that concern OpenAI's own service."""


class HostRow(Struct, frozen=True, kw_only=True):
    """One host."""

    type: str
    title: str
    """How its operator writes its name."""
    url: str | None
    """Base URL; None for software that runs wherever its user put it."""
    apis: tuple[str, ...] = _CHAT
    """Dialects it speaks."""
    environment: str | None = None
    default_models: tuple[str, ...] = ()
    example_model: str = ""
    needs_key: bool = True
    traits: Traits = Traits()
    source: str
    """The page that describes its API."""


class Config(ProviderConfig, frozen=True):
    """A host of the table; `url` replaces the table's."""

    type: str


def _build(row: HostRow, name: str, config: Config) -> Upstream:
    key = config.key.reveal().strip() if config.key is not None else ""
    if row.needs_key and not key:
        hint = f"; write `key: ${{env:{row.environment}}}`" if row.environment else ""
        raise ValueError(f"`key` is missing or empty{hint}")
    url = config.url or row.url
    if url is None:
        raise ValueError("`url` is missing; write the base URL, such as http://models.svc:8000/v1")
    return build_upstream(
        name,
        config,
        url=url,
        paths={dialect: _PATHS[dialect] for dialect in row.apis},
        credential=("authorization", Secret(f"Bearer {key}")) if key else None,
        traits=row.traits,
    )


ROWS: Final[tuple[HostRow, ...]] = (
    HostRow(
        type="xai",
        title="xAI",
        url="https://api.x.ai/v1",
        apis=("openai.chat", "openai.responses", "openai.images.generations"),
        environment="XAI_API_KEY",
        default_models=("grok-*",),
        example_model="grok-4-fast",
        traits=Traits(unsupported=frozenset(("logit_bias",)) | _OPENAI_ONLY),
        source="docs.x.ai/docs/api-reference",
    ),
    HostRow(
        type="mistral",
        title="Mistral AI",
        url="https://api.mistral.ai/v1",
        apis=(*_CHAT_EMBED, "openai.audio.transcriptions", "openai.moderations", "openai.files"),
        environment="MISTRAL_API_KEY",
        default_models=("mistral-*", "ministral-*", "magistral-*", "codestral-*", "devstral-*"),
        example_model="mistral-small-latest",
        traits=Traits(
            renames={**_OLD_LIMIT, "seed": "random_seed"},
            unsupported=_OPENAI_ONLY
            | {"stream_options", "logprobs", "top_logprobs", "logit_bias", "user", "modalities", "audio", "metadata"},
            has_developer_role=False,
            tool_id_form="alnum9",
        ),
        source="docs.mistral.ai/api",
    ),
    HostRow(
        type="groq",
        title="Groq",
        url="https://api.groq.com/openai/v1",
        apis=("openai.chat", "openai.responses", *_HEARD, "openai.audio.speech", *_HELD),
        traits=Traits(
            unsupported=frozenset(("logprobs", "top_logprobs", "logit_bias")) | (_OPENAI_ONLY - {"service_tier"}),
            reasoning_member="reasoning",
        ),
        source="console.groq.com/docs/openai",
    ),
    HostRow(
        type="deepseek",
        title="DeepSeek",
        url="https://api.deepseek.com/v1",
        environment="DEEPSEEK_API_KEY",
        default_models=("deepseek-*",),
        example_model="deepseek-chat",
        traits=Traits(
            renames=_OLD_LIMIT,
            unsupported=_OPENAI_ONLY | {"parallel_tool_calls", "metadata"},
            has_developer_role=False,
            has_json_schema=False,
            replays_reasoning=True,
        ),
        source="api-docs.deepseek.com",
    ),
    HostRow(
        type="together",
        title="Together AI",
        url="https://api.together.xyz/v1",
        apis=(*_ENGINE, "openai.images.generations", *_HEARD, "openai.audio.speech", "cohere.rerank"),
        traits=Traits(renames=_OLD_LIMIT, unsupported=_OPENAI_ONLY, has_developer_role=False),
        source="docs.together.ai/reference/chat-completions-1",
    ),
    HostRow(
        type="fireworks",
        title="Fireworks AI",
        url="https://api.fireworks.ai/inference/v1",
        apis=(*_ENGINE, "cohere.rerank"),
        traits=Traits(renames=_OLD_LIMIT, unsupported=_OPENAI_ONLY, has_developer_role=False),
        source="docs.fireworks.ai/api-reference/post-chatcompletions",
    ),
    HostRow(
        type="openrouter",
        title="OpenRouter",
        url="https://openrouter.ai/api/v1",
        apis=("openai.chat", "openai.responses", "openai.embeddings"),
        traits=Traits(reasoning_member="reasoning", replays_reasoning=True),
        source="openrouter.ai/docs/api-reference/overview",
    ),
    HostRow(
        type="huggingface",
        title="Hugging Face Inference Providers",
        url="https://router.huggingface.co/v1",
        traits=Traits(renames=_OLD_LIMIT, unsupported=_OPENAI_ONLY, has_developer_role=False),
        source="huggingface.co/docs/inference-providers/tasks/chat-completion",
    ),
    HostRow(
        type="perplexity",
        title="Perplexity",
        url="https://api.perplexity.ai",
        environment="PERPLEXITY_API_KEY",
        default_models=("sonar*",),
        example_model="sonar",
        traits=Traits(
            renames=_OLD_LIMIT,
            unsupported=_OPENAI_ONLY | {"tools", "tool_choice", "parallel_tool_calls", "logit_bias", "seed", "n"},
            has_developer_role=False,
        ),
        source="docs.perplexity.ai/api-reference/chat-completions-post",
    ),
    HostRow(
        type="cerebras",
        title="Cerebras",
        url="https://api.cerebras.ai/v1",
        traits=Traits(
            unsupported=_OPENAI_ONLY | {"frequency_penalty", "presence_penalty", "logit_bias", "metadata"},
            reasoning_member="reasoning",
        ),
        source="inference-docs.cerebras.ai/api-reference/chat-completions",
    ),
    HostRow(
        type="zai",
        title="Z.ai",
        url="https://api.z.ai/api/paas/v4",
        apis=("openai.chat", "openai.images.generations"),
        environment="ZAI_API_KEY",
        default_models=("glm-*",),
        example_model="glm-4.6",
        traits=Traits(
            renames={**_OLD_LIMIT, "user": "user_id"},
            unsupported=_OPENAI_ONLY | {"parallel_tool_calls", "frequency_penalty", "presence_penalty", "n", "seed"},
            has_developer_role=False,
            has_json_schema=False,
        ),
        source="docs.z.ai/api-reference/llm/chat-completion",
    ),
    HostRow(
        type="moonshot",
        title="Moonshot AI",
        url="https://api.moonshot.ai/v1",
        apis=("openai.chat", "openai.files"),
        environment="MOONSHOT_API_KEY",
        default_models=("kimi-*", "moonshot-*"),
        example_model="kimi-k2-turbo-preview",
        traits=Traits(
            renames=_OLD_LIMIT,
            unsupported=_OPENAI_ONLY | {"logit_bias", "seed", "parallel_tool_calls"},
            has_developer_role=False,
            replays_reasoning=True,
        ),
        source="platform.moonshot.ai/docs/api/chat",
    ),
    HostRow(
        type="qwen",
        title="Alibaba Cloud Model Studio",
        url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        apis=(*_CHAT_EMBED, *_HELD),
        environment="DASHSCOPE_API_KEY",
        default_models=("qwen*", "qwq-*"),
        example_model="qwen-plus",
        traits=Traits(renames=_OLD_LIMIT, unsupported=_OPENAI_ONLY, has_developer_role=False),
        source="alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope",
    ),
    HostRow(
        type="nvidia",
        title="NVIDIA API catalogue",
        url="https://integrate.api.nvidia.com/v1",
        apis=_CHAT_EMBED,
        traits=Traits(renames=_OLD_LIMIT, unsupported=_OPENAI_ONLY, has_developer_role=False),
        source="docs.api.nvidia.com/nim/reference/llm-apis",
    ),
    HostRow(
        type="sambanova",
        title="SambaNova",
        url="https://api.sambanova.ai/v1",
        apis=(*_CHAT_EMBED, *_HEARD),
        traits=Traits(
            renames=_OLD_LIMIT,
            unsupported=_OPENAI_ONLY | {"logit_bias", "n", "presence_penalty", "frequency_penalty"},
            has_developer_role=False,
        ),
        source="docs.sambanova.ai/docs/en/api-reference",
    ),
    HostRow(
        type="vllm",
        title="vLLM",
        url=None,
        apis=("openai.chat", "openai.responses", "openai.completions", "openai.embeddings", *_HEARD, "cohere.rerank"),
        needs_key=False,
        traits=Traits(reasoning_member="reasoning", unsupported=_OPENAI_ONLY),
        source="docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
    ),
    HostRow(
        type="sglang",
        title="SGLang",
        url=None,
        apis=(*_ENGINE, "cohere.rerank"),
        needs_key=False,
        traits=Traits(unsupported=_OPENAI_ONLY),
        source="docs.sglang.ai/basic_usage/openai_api.html",
    ),
    HostRow(
        type="tgi",
        title="Text Generation Inference",
        url=None,
        apis=("openai.chat", "openai.completions"),
        needs_key=False,
        traits=Traits(
            renames=_OLD_LIMIT, unsupported=_OPENAI_ONLY | {"parallel_tool_calls", "user"}, has_developer_role=False
        ),
        source="huggingface.co/docs/text-generation-inference/reference/api_reference",
    ),
    HostRow(
        type="llama_cpp",
        title="llama.cpp server",
        url=None,
        apis=(*_ENGINE, "cohere.rerank"),
        needs_key=False,
        traits=Traits(renames=_OLD_LIMIT, unsupported=_OPENAI_ONLY),
        source="github.com/ggml-org/llama.cpp/tree/master/tools/server",
    ),
    HostRow(
        type="lmstudio",
        title="LM Studio",
        url="http://127.0.0.1:1234/v1",
        apis=("openai.chat", "openai.responses", "openai.completions", "openai.embeddings"),
        needs_key=False,
        traits=Traits(renames=_OLD_LIMIT, unsupported=_OPENAI_ONLY),
        source="lmstudio.ai/docs/developer/openai-compat",
    ),
)
"""In the order of the documentation."""


def _provider_type(row: HostRow) -> AnyProviderType:
    return ProviderType(
        row.type,
        Config,
        partial(_build, row),
        f"{row.title}, by its OpenAI-compatible API.",
        environment=row.environment,
        default_models=row.default_models,
        example_model=row.example_model,
    )


COMPATIBLE_HOSTS: Final[tuple[AnyProviderType, ...]] = tuple(_provider_type(row) for row in ROWS)
