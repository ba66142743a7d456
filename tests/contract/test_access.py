"""Access rules on every surface: each can be denied, none escapes a limit, and facts mean the same everywhere."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gatewright.config.access import AccessRule
from gatewright.config.problems import ConfigError
from gatewright.core.chat import Audio, ChatRequest, File, Image, Message, Part, Source, Text, ToolResult, Video
from gatewright.core.consumer import Consumer, Scopes
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.core.loss import Feature, LossReport
from gatewright.core.surface import Dialect
from gatewright.core.traits import DEFAULT
from gatewright.dialects import DIALECTS
from gatewright.pipeline.access import Access, build_access, limit_member
from gatewright.pipeline.expressions import compile_expression
from gatewright.pipeline.facts import FACTS, facts_of
from gatewright.pipeline.matching import NameTable
from gatewright.server.routes import ROUTES, Route
from gatewright.testing.feature_probes import BASE, PIXEL, PROBES, TIME, WEATHER, probe, probe_request
from gatewright.translate.hub import fit

CONSUMER = Consumer("acme/search/indexer")
CHAT = [dialect for dialect in DIALECTS if dialect.chat is not None]
EVERY = list(ROUTES.values())
COUNTED = "[request.tools, request.images, request.audio, request.videos, request.documents]"

every_surface = pytest.mark.parametrize(
    "route", EVERY, ids=[f"{r.surface.method.decode()} {r.surface.path.decode()}" for r in EVERY]
)
every_chat_dialect = pytest.mark.parametrize("dialect", CHAT, ids=[dialect.name for dialect in CHAT])


def exchange(dialect: Dialect, members: dict[str, Any], consumer: Consumer = CONSUMER) -> Exchange:
    body = msgspec.json.encode(members)
    x = Exchange("x-1", None, {}, body, 0.0)
    x.consumer, x.dialect, x.surface = consumer, dialect, dialect.surfaces[0]
    x.requested_model = x.published_model = "m"
    x.fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return x


def on(route: Route, consumer: Consumer = CONSUMER, request: ChatRequest = BASE) -> Exchange:
    """A call on this surface, as far as rules look at it."""
    members = written(route.dialect, request) if route.dialect.chat is not None else {"input": "a", "texts": ["a"]}
    x = exchange(route.dialect, members, consumer)
    x.surface = route.surface
    return x


def written(dialect: Dialect, request: ChatRequest) -> dict[str, Any]:
    """A request as a client of this dialect writes it."""
    assert dialect.chat is not None
    report = LossReport("permissive")
    return dialect.chat.encode_request(fit(request, dialect.name, report), DEFAULT, report)


def built(**rule: Any) -> Access:
    errors: list[ConfigError] = []
    access = build_access([AccessRule(name="the rule", **rule)], errors)
    assert errors == []
    return access


def is_allowed(access: Access, x: Exchange) -> bool:
    try:
        access.check(x, "192.0.2.1")
    except GatewayError as error:
        assert error.kind is Kind.FORBIDDEN  # noqa: PT017 - whether it is refused is the answer
        return False
    return True


# -- every surface ----------------------------------------------------------------------------------------------------


def test_surfaces_of_one_name_are_of_one_family() -> None:
    families = {(route.surface.name, route.dialect.family) for route in EVERY}
    assert len(families) == len({name for name, _ in families})


@every_surface
def test_every_surface_can_be_allowed_and_denied(route: Route) -> None:
    name = route.surface.name
    other = next(one.surface.name for one in EVERY if one.surface.name != name)
    x = on(route)
    assert is_allowed(Access(), x)
    assert is_allowed(built(), x)
    assert is_allowed(built(surfaces=[name], models=["m"], consumers=["acme/*"]), x)
    assert is_allowed(built(when=f'request.surface == "{name}"'), x)
    assert not is_allowed(built(surfaces=[other]), x)
    assert not is_allowed(built(models=["another"]), x)
    assert not is_allowed(built(consumers=["others/*"]), x)
    assert not is_allowed(built(issuers=["staff"]), x)
    assert not is_allowed(built(when=f'request.surface != "{name}"'), x)


@every_surface
@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (Scopes(networks=("192.0.2.0/24",)), True),
        (Scopes(models=("another",)), False),
        (Scopes(surfaces=("none",)), False),
        (Scopes(networks=("10.0.0.0/8",)), False),
    ],
)
def test_no_surface_escapes_the_scopes_of_a_key(route: Route, scopes: Scopes, allowed: bool) -> None:
    x = on(route, Consumer("acme/search/indexer", "k-1", scopes=scopes))
    assert is_allowed(Access(), x) == is_allowed(built(), x) == allowed


@every_surface
def test_narrowed_to_models_nobody_reaches_what_runs_any_model(route: Route) -> None:
    name = route.surface.name
    is_reached = route.surface.names_model
    scoped = on(route, Consumer("acme/search/indexer", "k-1", scopes=Scopes(models=("m",))))
    assert is_allowed(Access(), scoped) == is_allowed(built(), scoped) == is_reached
    assert is_allowed(built(models=["m"]), on(route)) == is_reached
    assert is_allowed(built(when='request.model == "m"'), on(route)) == is_reached
    named = on(route, Consumer("acme/search/indexer", "k-1", scopes=Scopes(models=("m",), surfaces=(name,))))
    assert is_allowed(Access(), named)
    assert is_allowed(built(models=["m"], surfaces=[name]), on(route))
    assert is_allowed(built(), on(route))


@every_surface
def test_no_surface_escapes_a_limit_on_tokens(route: Route) -> None:
    access = built(max_tokens=100)
    family = route.dialect.family
    # What is passed on unread could ask for anything; embeddings and counts have no output.
    assert is_allowed(access, on(route, request=msgspec.structs.replace(BASE, max_output_tokens=100))) == (
        family != "passing"
    )
    too_many = on(route, request=msgspec.structs.replace(BASE, max_output_tokens=5_000))
    assert is_allowed(access, too_many) == (family in ("embeddings", "count"))


OTHER_MODELS: dict[str, dict[str, Any]] = {
    "openrouter models": {"models": ["dear"]},
    "openrouter models in other letters": {"MODELS": ["dear"]},
    "openrouter preset": {"preset": "p"},
    "openrouter plugin": {"plugins": [{"id": "fusion", "model": "dear"}]},
    "anthropic fallbacks": {"fallbacks": [{"model": "dear"}]},
    "anthropic advisor": {"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "dear"}]},
    "openai images": {"tools": [{"type": "image_generation", "model": "dear"}]},
    "groq compound": {"compound_custom": {"models": {"answering_model": "dear"}}},
    "vertex routing": {"generationConfig": {"routingConfig": {"manualMode": {"modelName": "dear"}}}},
    "vercel gateway": {"providerOptions": {"gateway": {"models": ["dear"]}}},
    "litellm fallbacks": {"fallbacks": [{"m": ["dear"]}]},
    "sglang adapter": {"lora_path": "dear"},
}
READ = [route for route in EVERY if route.surface.names_model]


@pytest.mark.parametrize("members", OTHER_MODELS.values(), ids=OTHER_MODELS)
@pytest.mark.parametrize("route", READ, ids=[f"{r.surface.method.decode()} {r.surface.path.decode()}" for r in READ])
def test_nowhere_a_request_may_name_models_that_its_caller_may_not_call(route: Route, members: dict[str, Any]) -> None:
    def sent(consumer: Consumer = CONSUMER) -> Exchange:
        x = on(route, consumer)
        x.snapshot = SimpleNamespace(models=NameTable({}))
        x.fields |= {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in members.items()}
        return x

    scoped = Consumer("acme/search/indexer", "k-1", scopes=Scopes(models=("m",)))
    assert not is_allowed(Access(), sent(scoped))
    assert not is_allowed(built(models=["m"]), sent())
    assert is_allowed(Access(), sent())
    assert is_allowed(built(), sent())


FOREIGN_LIMITS: dict[str, dict[str, Any]] = {
    "llama.cpp": {"n_predict": 101},
    "llama.cpp without end": {"n_predict": -1},
    "llama.cpp answers": {"n_cmpl": 8},
    "vllm": {"min_tokens": 101},
    "vllm best of": {"best_of": 8},
    "text generation inference": {"max_new_tokens": 101},
    "ollama": {"options": {"num_predict": 101}},
    "ollama in other letters": {"options": {"Num_Predict": 101}},
    "openai": {"n": 8},
    "openai's other limit": {"max_completion_tokens": 101, "max_tokens": 101},
    "bedrock's models": {"additionalModelRequestFields": {"textGenerationConfig": {"maxTokenCount": 101}}},
    "google": {"generation_config": {"max_output_tokens": 101}},
    "google answers": {"generation_config": {"candidate_count": 8}},
    "cohere answers": {"num_generations": 5},
    "ai21 answers": {"numResults": 8},
    "an SDK's": {"extra_body": {"max_tokens": 101}},
    "an SDK's list": {"extra_body": [{"max_tokens": 101}]},
}


@pytest.mark.parametrize("members", FOREIGN_LIMITS.values(), ids=FOREIGN_LIMITS)
@pytest.mark.parametrize("dialect", CHAT, ids=[dialect.name for dialect in CHAT])
def test_no_hosts_own_member_lifts_a_limit(dialect: Dialect, members: dict[str, Any]) -> None:
    limited = written(dialect, msgspec.structs.replace(BASE, max_output_tokens=100))
    access = built(max_tokens=100)
    assert is_allowed(access, exchange(dialect, limited))
    with pytest.raises(GatewayError) as refused:
        access.check(exchange(dialect, limited | members), "")
    assert refused.value.kind in (Kind.FORBIDDEN, Kind.MALFORMED_REQUEST)


FOREIGN_TOOLS: dict[str, dict[str, Any]] = {
    "azure": {"data_sources": [{"type": "azure_search", "parameters": {}}]},
    "azure agents": {"agent": {"type": "agent_reference", "name": "a"}},
    "xai": {"search_parameters": {"mode": "on"}},
    "qwen": {"enable_search": True},
    "groq": {"compound_custom": {"tools": {"enabled_tools": ["web_search"]}}},
    "openrouter": {"plugins": [{"id": "web"}]},
    "openai": {"web_search_options": {}},
    "anthropic servers": {"mcp_servers": [{"type": "url", "name": "a", "url": "https://a.example"}]},
    "bedrock's models": {"additionalModelRequestFields": {"tools": [{"type": "computer_20241022"}]}},
    "an SDK's list": {"extra_body": [{"tools": [{"type": "web_search"}]}]},
}
FOREIGN_PICTURES: dict[str, dict[str, Any]] = {
    "llama.cpp": {"image_data": [{"data": "AA==", "id": 1}]},
    "vllm": {"multi_modal_data": {"image": "AA=="}},
    "ollama": {"images": ["AA=="]},
    "bedrock's models": {"additionalModelRequestFields": {"messages": [{"content": [{"type": "image"}]}]}},
    "another SDK's": {"attachments": [{"contentType": "image/png", "url": "https://a.example"}]},
    "an SDK's list": {"extra_body": [{"type": "image_url", "image_url": {"url": "https://a.example"}}]},
}
STORED: dict[str, dict[str, Any]] = {
    "openai prompt": {"prompt": {"id": "pmpt_1"}},
    "google cache": {"cachedContent": "cachedContents/a"},
    "anthropic container": {"container": "container_1"},
}


@pytest.mark.parametrize(
    ("rule", "members"),
    [
        *[({"tools": False}, members) for members in (*FOREIGN_TOOLS.values(), *STORED.values())],
        *[({"images": False}, members) for members in (*FOREIGN_PICTURES.values(), *STORED.values())],
    ],
    ids=[*FOREIGN_TOOLS, *STORED, *FOREIGN_PICTURES, *[f"{name}, pictures" for name in STORED]],
)
@pytest.mark.parametrize("dialect", CHAT, ids=[dialect.name for dialect in CHAT])
def test_no_hosts_own_member_brings_tools_or_pictures(
    dialect: Dialect, rule: dict[str, Any], members: dict[str, Any]
) -> None:
    plain = written(dialect, BASE)
    access = built(**rule)
    assert is_allowed(access, exchange(dialect, plain))
    with pytest.raises(GatewayError) as refused:
        access.check(exchange(dialect, plain | members), "")
    assert refused.value.kind in (Kind.FORBIDDEN, Kind.MALFORMED_REQUEST)


# -- every chat dialect -----------------------------------------------------------------------------------------------


def counts_of(request: ChatRequest) -> list[int]:
    """What the facts must be, told from the conversation itself."""
    parts: list[Part] = []
    for message in request.messages:
        for part in message.parts:
            parts += part.content if isinstance(part, ToolResult) else (part,)
    kinds = (Image, Audio, Video, File)
    return [len(request.tools), *(sum(isinstance(part, kind) for part in parts) for kind in kinds)]


ODD = (
    Feature.TOOL_CHOICE_NONE,  # tools that may not be called need not be written
    Feature.FILE_ID,  # of a file whose kind is not told, facts say more than the conversation
)
CARRIED = [
    (dialect, feature)
    for dialect in CHAT
    for feature in PROBES
    if probe(dialect, feature) is None and feature not in ODD
]


@pytest.mark.parametrize(("dialect", "feature"), CARRIED, ids=[f"{d.name}-{f.name}" for d, f in CARRIED])
def test_facts_are_those_of_the_conversation_in_every_dialect(dialect: Dialect, feature: Feature) -> None:
    request = probe_request(dialect, feature)
    x = exchange(dialect, written(dialect, request))
    limit = request.max_output_tokens
    expression = compile_expression(f"{{'limit': request.max_tokens, 'counts': {COUNTED}}}", FACTS)
    assert expression.evaluate(facts_of(x, expression.reads)) == {
        "limit": None if limit is None else limit * (request.sampling.n or 1),
        "counts": counts_of(request),
    }


def test_the_probes_show_every_fact() -> None:
    shown = {index for _, feature in CARRIED for index, count in enumerate(counts_of(PROBES[feature])) if count}
    assert shown == set(range(5))


PICTURE = Image(source=Source(data=PIXEL, media_type="image/png"))
RICH = msgspec.structs.replace(
    BASE,
    messages=(Message(role="user", parts=(Text(text="What is this?"), PICTURE, PICTURE)),),
    tools=(WEATHER, TIME),
    max_output_tokens=321,
)
TEXT_ONLY = {"openai.completions"}


@every_chat_dialect
def test_one_conversation_has_the_same_facts_in_all_of_them(dialect: Dialect) -> None:
    x = exchange(dialect, written(dialect, RICH))
    facts = facts_of(x, [("request", "max_tokens"), ("request", "tools"), ("request", "images")])["request"]
    rest = {"tools": 0, "images": 0} if dialect.name in TEXT_ONLY else {"tools": 2, "images": 2}
    assert facts == {"max_tokens": 321, **rest}


@every_chat_dialect
def test_one_rule_limits_all_of_them(dialect: Dialect) -> None:
    plain = exchange(dialect, written(dialect, msgspec.structs.replace(BASE, max_output_tokens=321)))
    rich = exchange(dialect, written(dialect, RICH))
    assert is_allowed(built(max_tokens=321, tools=False, images=False), plain)
    assert not is_allowed(built(max_tokens=320), plain)
    assert is_allowed(built(tools=False), rich) == (dialect.name in TEXT_ONLY)
    assert is_allowed(built(images=False), rich) == (dialect.name in TEXT_ONLY)


@every_chat_dialect
def test_a_refusal_names_the_member_that_the_client_would_write(dialect: Dialect) -> None:
    with pytest.raises(GatewayError) as refused:
        built(max_tokens=5).check(exchange(dialect, written(dialect, BASE)), "")
    value: Any = written(dialect, msgspec.structs.replace(BASE, max_output_tokens=77))
    for name in str(refused.value.param).split("."):
        value = value[name]
    assert value == 77
    assert f"`{limit_member(dialect)}`" in refused.value.message
