"""Recorded providers as one scripted upstream, and a client that asks them, leaves them, or is left by them.

Every request is a plan: a recording, the dialect it is asked in, and what goes wrong. The upstream knows the plan by
the request id, which the gateway passes on, and keeps the book of what it answered in full.
"""

from __future__ import annotations

import json
import random
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.truth.recordings import Recording, of
from tests.truth.vendor_usage import DIALECTS, Used, has_failed, is_sound, pieces_of, used_by, words_in

from gatewright.testing import answers
from gatewright.testing.client import PeerClosed
from gatewright.testing.gateway import GatewayProcess, key_hash
from gatewright.testing.received import Received
from gatewright.testing.steps import Pause, Reset, Send, Stall, Step
from gatewright.testing.upstream import ScriptedUpstream

SEED = 20
QUIET_S = 0.1
PATIENCE_S = 2.0
"""How long a client waits for the begin of a stream before it leaves."""
KEYS = {"whole": "sk-books-whole", "torn": "sk-books-torn"}
"""By consumer: who asks for what ends well and is reported, and who for everything else."""
SPARE = "-spare"
HOSTS = {
    "alibaba": "qwen",
    "cerebras": "cerebras",
    "deepseek": "deepseek",
    "groq": "groq",
    "huggingface": "huggingface",
    "mistral": "mistral",
    "moonshotai": "moonshot",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "vllm": "vllm",
    "xai": "xai",
    "zai": "zai",
}
"""Recorded hosts of OpenAI's chat API that are provider types of their own."""
TYPES = {
    "anthropic": ("anthropic", "/v1"),
    "google": ("gemini", "/v1beta"),
    "bedrock": ("bedrock", ""),
    "cohere": ("cohere", "/v2"),
    "ollama": ("ollama", ""),
}
"""Provider type and the path of its `url`, by the family of the dialect."""
OPERATIONS = {
    "openai.chat": ("/chat/completions",),
    "openai.completions": ("/completions",),
    "openai.responses": ("/responses",),
    "openai.embeddings": ("/embeddings",),
    "anthropic.messages": ("/messages",),
    "google.generate_content": (":generateContent", ":streamGenerateContent"),
    "google.batch_embed_contents": (":batchEmbedContents",),
    "bedrock.converse": ("/converse", "/converse-stream"),
    "cohere.chat": ("/v2/chat",),
    "cohere.embed": ("/v2/embed",),
    "ollama.chat": ("/api/chat",),
}
"""What an upstream is called with for each dialect."""
CONTENT_TYPES = {"bedrock.converse": "application/vnd.amazon.eventstream", "ollama.chat": "application/x-ndjson"}
CLIENTS = (
    "openai.chat",
    "openai.responses",
    "anthropic.messages",
    "google.generate_content",
    "bedrock.converse",
    "cohere.chat",
    "ollama.chat",
)
TRANSLATED = ("openai.chat", *CLIENTS[2:])
"""Recordings that are asked for in other dialects, too. Responses are not: OpenAI's provider speaks chat as well."""
SPOKEN = {"openai.chat": ("openai.chat", "openai.responses"), "ollama.chat": ("ollama.chat", "openai.chat")}
"""What providers of these speak besides, so that nothing would be translated."""
NEEDS_EVENTS = 8
"""Streams shorter than this are not cut: too little would be left on one of the sides."""


@dataclass
class Plan:
    """One request: what is asked, what the upstream plays, and what happens to it."""

    id: str
    recording: Recording
    client: str
    """The dialect it is asked in."""
    fault: str
    """`before` and `within`: the client leaves before the answer, or within it; `refused` (429 or 503): another target
    answers; `reset`: RST instead of an answer, which is told, since the upstream may have begun; `cut`: RST within a
    stream; or empty."""
    used: Used | None
    """What the recorded answer reports."""
    is_failure: bool
    """Whether it holds an error."""
    share: float = 0.0
    """How much of a stream comes when it is torn."""
    asked: threading.Event = field(default_factory=threading.Event)
    status: int = 0
    """What the client got; 0 when it left or was left."""
    has_begun: bool = False
    """Whether the client saw some of a stream before it left."""

    @property
    def events(self) -> int:
        """How many events of a stream come when it is torn."""
        return int(len(pieces_of(self.recording)) * self.share)

    @property
    def says_something(self) -> bool:
        """Whether there are words in them that the client's dialect can say."""
        return words_in(self.recording, self.events, arguments=self.is_identity)

    @property
    def is_identity(self) -> bool:
        return self.client == self.recording.dialect

    @property
    def is_torn(self) -> bool:
        return self.fault in ("before", "within", "cut")

    @property
    def consumer(self) -> str:
        is_answered = self.fault in ("", "refused") and self.recording.status == 200
        return "whole" if is_answered and self.used is not None and not self.is_failure else "torn"


def provider_of(recording: Recording) -> tuple[str, str, str]:
    """Name, type and URL path of the provider that stands for the recorded one."""
    family = recording.dialect.partition(".")[0]
    kind, root = TYPES.get(family, ("openai", "/v1"))
    if recording.dialect == "openai.chat":
        kind = HOSTS.get(recording.provider, kind)
    return f"{family}-{recording.provider}-{kind}".replace("_", "-"), kind, root


def model_of(recording: Recording) -> str:
    """The provider's name of the model that answered."""
    path = recording.url.partition("?")[0]
    for mark in ("/models/", "/model/"):
        if mark in path:
            return path.rpartition(mark)[2].partition(":")[0].partition("/")[0].replace("%3A", ":")
    named = (recording.request or {}).get("model") or (recording.answer or {}).get("model")
    return named if isinstance(named, str) and named else "unnamed"


def make_plans(rounds: int) -> list[Plan]:
    """Every recording in its own dialect, and many in another, with faults by the dice."""
    dice = random.Random(SEED)
    reported = {one.path: (used_by(one), has_failed(one)) for one in of(*DIALECTS) if is_sound(one)}
    found = [one for one in of(*DIALECTS) if one.path in reported]
    plans: list[Plan] = []
    for _ in range(rounds):
        asked = [(one, one.dialect) for one in found]
        for one in found:
            if one.dialect in TRANSLATED and one.status == 200 and (one.text or dice.random() < 0.5):
                own = SPOKEN.get(one.dialect, (one.dialect,))
                asked.append((one, dice.choice([client for client in CLIENTS if client not in own])))
        dice.shuffle(asked)
        for recording, client in asked:
            name, share = f"books-{len(plans):06}", 0.4 + dice.random() * 0.3
            used, is_failure = reported[recording.path]
            fault = "" if is_failure else _fault(recording, dice)
            plans.append(Plan(name, recording, client, fault, used, is_failure, share))
    return plans


def _fault(recording: Recording, dice: random.Random) -> str:
    roll = dice.random()
    is_long = bool(recording.text) and len(pieces_of(recording)) >= NEEDS_EVENTS
    if recording.status != 200:
        return ""
    if roll < 0.10:
        return "within" if is_long and roll < 0.07 else "before"
    if roll < 0.20:
        return "cut" if is_long and roll < 0.15 else "refused" if roll < 0.175 else "reset"
    return ""


class Vendors:
    """All recorded providers as one upstream, with the book of what it answered in full."""

    def __init__(self, upstream: ScriptedUpstream, plans: list[Plan]) -> None:
        self._plans = {plan.id: plan for plan in plans}
        self.book: dict[tuple[str, str, str], Used | None] = {}
        """By exchange, provider and model."""
        self.doubled: list[str] = []
        self.surprises: list[str] = []
        upstream.always(self.play)

    def play(self, request: Received) -> tuple[Step, ...]:
        provider = request.path.split("/")[1]
        plan = self._plans[request.header("x-request-id") or ""]
        recording = plan.recording
        if not request.path.endswith(OPERATIONS[recording.dialect]):
            self.surprises.append(f"{recording.path}: {plan.client} came as {request.path}")
        fault = "" if provider.endswith(SPARE) else plan.fault
        plan.asked.set()
        if fault == "before":
            return (Stall(),)
        if fault == "refused":
            return answers.reply(429 if int(plan.id.rpartition("-")[2]) % 2 else 503, answers.error("overloaded"))
        if fault == "reset":
            return (Reset(),)
        if fault:
            return self._torn(plan, fault)
        if recording.status == 200:
            key = (plan.id, provider, model_of(recording))
            if key in self.book:
                self.doubled.append(plan.id)
            self.book[key] = plan.used
        return self._whole(recording)

    def _whole(self, recording: Recording) -> tuple[Step, ...]:
        if not recording.text:
            return answers.reply(recording.status, json.dumps(recording.answer).encode())
        return (self._head(recording), Send(answers.chunk(recording.text)), Send(answers.LAST_CHUNK))

    def _torn(self, plan: Plan, fault: str) -> tuple[Step, ...]:
        recording = plan.recording
        some = pieces_of(recording)[: plan.events]
        end: tuple[Step, ...] = (Stall(),) if fault == "within" else (Pause(0.05), Reset())
        return (self._head(recording), *(Send(answers.chunk(piece)) for piece in some), *end)

    def _head(self, recording: Recording) -> Send:
        kind = CONTENT_TYPES.get(recording.dialect, "text/event-stream")
        return Send(answers.render_head(recording.status, [("content-type", kind), ("transfer-encoding", "chunked")]))


# -- the client -------------------------------------------------------------------------------------------------------


def render(plan: Plan, published: str) -> bytes:
    """The request: as it was recorded in its own dialect, a plain one in others."""
    body, stream = body_of(plan), bool(plan.recording.text)
    model = quote(published, safe="")
    path = {
        "openai.chat": "/v1/chat/completions",
        "openai.completions": "/v1/completions",
        "openai.responses": "/v1/responses",
        "openai.embeddings": "/v1/embeddings",
        "anthropic.messages": "/v1/messages",
        "google.generate_content": f"/v1beta/models/{model}:{'streamGenerateContent' if stream else 'generateContent'}",
        "google.batch_embed_contents": f"/v1beta/models/{model}:batchEmbedContents",
        "bedrock.converse": f"/model/{model}/converse{'-stream' if stream else ''}",
        "cohere.chat": "/v2/chat",
        "cohere.embed": "/v2/embed",
        "ollama.chat": "/api/chat",
    }[plan.client]
    if plan.client == "google.generate_content" and stream:
        path += "?alt=sse"
    if not plan.client.startswith(("google", "bedrock")):
        body = {**body, "model": published}
        if not plan.client.endswith(("embeddings", "embed")):
            body["stream"] = stream
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1",
        "Host: gateway.test",
        "Content-Type: application/json",
        f"Authorization: Bearer {KEYS[plan.consumer]}",
        f"X-Request-Id: {plan.id}",
        f"Content-Length: {len(content)}",
    )
    return "\r\n".join([*head, "", ""]).encode() + content


def body_of(plan: Plan) -> dict[str, Any]:
    if plan.is_identity and plan.recording.request is not None:
        return dict(plan.recording.request)
    text = "Say what you know of the matter, in as few words as will do."
    messages = [{"role": "user", "content": text}]
    plain: dict[str, dict[str, Any]] = {
        "openai.completions": {"prompt": text},
        "openai.responses": {"input": text, "store": False},
        "openai.embeddings": {"input": [text]},
        "anthropic.messages": {"messages": messages, "max_tokens": 64},
        "google.generate_content": {"contents": [{"role": "user", "parts": [{"text": text}]}]},
        "google.batch_embed_contents": {"requests": [{"content": {"parts": [{"text": text}]}}]},
        "bedrock.converse": {"messages": [{"role": "user", "content": [{"text": text}]}]},
        "cohere.embed": {"texts": [text], "input_type": "search_query", "embedding_types": ["float"]},
    }
    return plain.get(plan.client, {"messages": messages})


def ask(gateway: GatewayProcess, plan: Plan, published: str) -> None:
    """Send a request, and behave as the plan says."""
    with gateway.connect(timeout_s=PATIENCE_S if plan.fault == "within" else 20.0) as client:
        client.send(render(plan, published))
        if plan.fault == "before":
            assert plan.asked.wait(20.0), plan.id
            client.reset()
            return
        try:
            if plan.fault == "within":
                plan.status = client.receive_head().status
                if plan.status != 200:
                    return
                client.receive_bytes(b"\r\n")
                plan.has_begun = True
                client.socket.settimeout(QUIET_S)
                client.receive_bytes()  # all that comes before it is quiet
            plan.status = client.receive().status
        except PeerClosed:
            assert plan.fault == "cut", plan.id
        except TimeoutError:
            assert plan.fault == "within", plan.id
            client.reset()


def configure(plans: list[Plan], upstream: ScriptedUpstream) -> tuple[dict[str, Any], dict[str, str]]:
    """A provider for each recorded one and a spare of it, a published model for each of their models."""
    providers: dict[str, Any] = {}
    models: dict[str, Any] = {}
    names: dict[tuple[str, str], str] = {}
    published: dict[str, str] = {}
    for plan in plans:
        (provider, kind, root), model = provider_of(plan.recording), model_of(plan.recording)
        for name in (provider, provider + SPARE):
            url = f"http://{upstream.host}:{upstream.port}/{name}{root}"
            providers[name] = {"type": kind, "url": url, "key": "${env:VENDOR_KEY}"}
        name = names.setdefault((provider, model), f"m{len(names)}")
        published[plan.id] = name
        models[name] = {
            "targets": [{"provider": provider, "model": model}],
            "fallback": [{"provider": provider + SPARE, "model": model}],
            "fidelity": "permissive",
        }
    apps = {name: {"keys": [key_hash(key)]} for name, key in KEYS.items()}
    config = {
        "providers": providers,
        "models": models,
        "consumers": {"acme": {"teams": {"books": {"apps": apps}}}},
        "log": {"access": "json"},
    }
    return config, published
