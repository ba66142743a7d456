"""The hub's request: a conversation in terms every chat dialect can be read into and written from.

A dialect's members that others share are typed here. Those that only it defines travel in an `Extension`, which only
the dialect that wrote it may read, so a request that goes through the hub and back to its own dialect loses nothing.
Opaque blobs (signatures, encrypted reasoning) are `Opaque`: they name the dialect that can read them, and are carried
through any other byte for byte.

Conventions every codec keeps:

- Tool results are `ToolResult` parts of `user` messages, one message per message of the wire. A dialect that gives them
  messages of their own (OpenAI's `tool`) reads each into a `user` message holding that one part.
- System text stands in `system` or `developer` messages, in the order of the conversation.
- JSON that the gateway does not interpret (tool arguments, schemas) stays JSON text: `Raw` or `str`, never re-spelled.
- Text is any `str` that UTF-8 can hold: half of a surrogate pair, escaped in JSON, is read as U+FFFD.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Raw, Struct

Role = Literal["system", "developer", "user", "assistant"]


class Extension(Struct, frozen=True):
    """Members that only one dialect defines, as it spelled them."""

    dialect: str
    members: dict[str, Raw]


class Opaque(Struct, frozen=True):
    """A blob that only its issuer can read: never decoded, trimmed or re-spelled."""

    dialect: str
    """The dialect whose upstream issued it."""
    value: str


class CacheMark(Struct, frozen=True):
    """The provider should cache the prompt up to and including the part that carries this."""

    ttl: Literal["5m", "1h"] | None = None


class Source(Struct, frozen=True, kw_only=True):
    """Where the bytes of a medium are: exactly one of `data`, `url`, `file_id` is set."""

    media_type: str | None = None
    """MIME type; None when the dialect does not tell (a URL)."""
    data: str | None = None
    """Base64, standard alphabet, as it was sent."""
    url: str | None = None
    """An address the provider fetches, or a vendor's own storage address (`gs://`, `s3://`)."""
    file_id: str | None = None
    """A file uploaded to the vendor named by `dialect` before; useless to any other."""
    dialect: str | None = None
    """Whose `file_id` it is."""
    filename: str | None = None


class Citation(Struct, frozen=True, kw_only=True):
    """What a stretch of answer text rests on."""

    url: str | None = None
    title: str | None = None
    quote: str | None = None
    """The cited words of the source."""
    start: int | None = None
    """Where in the part's text the supported stretch begins, in characters; None when the dialect does not say."""
    end: int | None = None
    extra: Extension | None = None


class Text(Struct, frozen=True, kw_only=True, tag="text"):
    """Words."""

    text: str
    citations: tuple[Citation, ...] = ()
    signature: Opaque | None = None
    """An opaque blob that must come back with this text (Gemini's thought signature)."""
    cache: CacheMark | None = None
    extra: Extension | None = None


class Image(Struct, frozen=True, kw_only=True, tag="image"):
    """A picture, sent or made."""

    source: Source
    detail: str | None = None
    """How closely to look: `low`, `high`, `auto`, `original`."""
    cache: CacheMark | None = None
    signature: Opaque | None = None
    extra: Extension | None = None


class Audio(Struct, frozen=True, kw_only=True, tag="audio"):
    """Sound, sent or made."""

    source: Source
    transcript: str | None = None
    """The spoken words, for sound the model made."""
    id: str | None = None
    """By which sound the model made is named in later requests."""
    cache: CacheMark | None = None
    extra: Extension | None = None


class Video(Struct, frozen=True, kw_only=True, tag="video"):
    """A film."""

    source: Source
    cache: CacheMark | None = None
    extra: Extension | None = None


class File(Struct, frozen=True, kw_only=True, tag="file"):
    """A document: a PDF, a text file, an office file."""

    source: Source
    """With media type `text/plain`, `data` is still base64."""
    title: str | None = None
    context: str | None = None
    """What the document is, told to the model beside it."""
    is_cited: bool | None = None
    """Whether the answer should cite it."""
    cache: CacheMark | None = None
    extra: Extension | None = None


class ToolCall(Struct, frozen=True, kw_only=True, tag="tool_call"):
    """The model's wish to call a tool of the client."""

    id: str
    """Links the result; made up (stable, unique in the conversation) by the codec when the dialect has none."""
    name: str
    arguments: str
    """JSON text of an object (`{}` when there are none); free text when `is_custom`."""
    is_custom: bool = False
    """Whether the tool takes free text instead of JSON (OpenAI's custom tools)."""
    signature: Opaque | None = None
    cache: CacheMark | None = None
    extra: Extension | None = None


class ToolResult(Struct, frozen=True, kw_only=True, tag="tool_result"):
    """What a tool answered."""

    call_id: str
    name: str | None = None
    """The tool's name, where the dialect tells it; else found by `call_id` in the conversation (`tool_names`)."""
    content: tuple[Part, ...] = ()
    """Text and media; JSON results are text."""
    is_error: bool | None = None
    is_custom: bool = False
    cache: CacheMark | None = None
    extra: Extension | None = None


class Reasoning(Struct, frozen=True, kw_only=True, tag="reasoning"):
    """What the model thought before it answered."""

    text: str = ""
    """Thoughts, or their summary; empty when they are withheld."""
    signature: Opaque | None = None
    """Proof that `text` is unchanged; must come back with it."""
    encrypted: Opaque | None = None
    """Thoughts that only the issuer can read (Anthropic's redacted thinking, OpenAI's encrypted content)."""
    is_summary: bool = False
    id: str | None = None
    """The issuer's name for this item (`rs_…`)."""
    extra: Extension | None = None


class Refusal(Struct, frozen=True, kw_only=True, tag="refusal"):
    """The model's words for why it does not answer."""

    text: str
    extra: Extension | None = None


class Native(Struct, frozen=True, kw_only=True, tag="native"):
    """A part that only its own dialect knows: a call of a vendor's hosted tool, its result, executable code."""

    dialect: str
    kind: str
    """The dialect's own word for it, for the loss report."""
    raw: Raw
    """The part as it was spelled."""
    cache: CacheMark | None = None


Part = Text | Image | Audio | Video | File | ToolCall | ToolResult | Reasoning | Refusal | Native


class Message(Struct, frozen=True, kw_only=True):
    """One turn, or a piece of one: consecutive messages of a role are allowed and mean the same as one."""

    role: Role
    parts: tuple[Part, ...] = ()
    name: str | None = None
    """Who speaks, among several of the same role."""
    extra: Extension | None = None


class Tool(Struct, frozen=True, kw_only=True, tag="tool"):
    """A function of the client the model may call."""

    name: str
    description: str | None = None
    parameters: Raw | None = None
    """JSON Schema of the arguments, as it was spelled; None when the tool takes none (or free text)."""
    is_custom: bool = False
    strict: bool | None = None
    cache: CacheMark | None = None
    extra: Extension | None = None


class NativeTool(Struct, frozen=True, kw_only=True, tag="native_tool"):
    """A tool the vendor hosts (web search, code execution): only its own dialect knows it."""

    dialect: str
    kind: str
    raw: Raw
    cache: CacheMark | None = None


class ToolChoice(Struct, frozen=True, kw_only=True):
    """Whether and which tools must be called."""

    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None
    """For `named`."""
    allowed: tuple[str, ...] | None = None
    """For `auto` and `required`: only these; None means all."""
    extra: Extension | None = None


class ResponseFormat(Struct, frozen=True, kw_only=True):
    """The form the answer's text must have."""

    kind: Literal["text", "json", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: Raw | None = None
    strict: bool | None = None
    extra: Extension | None = None


class ReasoningConfig(Struct, frozen=True, kw_only=True):
    """How much to think."""

    effort: str | None = None
    """`none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`."""
    budget_tokens: int | None = None
    """At most so many tokens of thought. -1: as many as the model likes (Gemini's dynamic, Anthropic's adaptive)."""
    is_enabled: bool | None = None
    """An explicit switch, where the dialect has one."""
    summary: str | None = None
    """The wish to see the thoughts: `auto`, `concise`, `detailed`; `omitted` for none."""
    extra: Extension | None = None


class Sampling(Struct, frozen=True, kw_only=True):
    """How the next token is chosen. None leaves it to the provider."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop: tuple[str, ...] = ()
    n: int | None = None
    """How many answers."""
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: Raw | None = None


class Bound(Struct, frozen=True, kw_only=True):
    """A member that names state kept at a vendor, so that only its own dialect's provider can serve the request."""

    dialect: str
    path: str
    """The member, as the client spelled it (`previous_response_id`)."""
    advice: str
    """What the client must send instead."""


class ChatRequest(Struct, frozen=True, kw_only=True):
    """A conversation to be continued."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool | NativeTool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning: ReasoningConfig | None = None
    sampling: Sampling = Sampling()
    max_output_tokens: int | None = None
    modalities: tuple[str, ...] = ()
    """What the answer may be made of (`text`, `audio`, `image`); empty leaves it to the provider."""
    verbosity: str | None = None
    user: str | None = None
    """The client's name for its end user."""
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    store: bool | None = None
    """Whether the vendor may keep the exchange for later retrieval."""
    wants_encrypted_reasoning: bool | None = None
    """Whether thoughts should come with a form that only the issuer can read, so that the client can send them back."""
    bound: tuple[Bound, ...] = ()
    """What ties the request to providers of one dialect; towards any other `loss.refuse_bound` tells of it."""
    cache: CacheMark | None = None
    """Cache the whole prompt, wherever the provider sees fit."""
    cache_key: str | None = None
    """Requests with equal keys share a cached prompt."""
    stream: bool = False
    include_usage: bool = True
    """Whether a streaming client wants usage told where its dialect makes that a choice."""
    extra: Extension | None = None


def tool_names(messages: tuple[Message, ...]) -> dict[str, str]:
    """Call id → the name of the tool it was made to, the latest call of an id; once per conversation."""
    return {part.id: part.name for message in messages for part in message.parts if isinstance(part, ToolCall)}


_CARRIED = "gatewright."
_CARRIED_PLAIN = b'"gatewright.'
_CARRIED_BASE64 = b'"Z2F0ZXdyaWdo'
"""How JSON strings begin that hold a carried blob: as it is, or in base64 where the slot is of bytes."""


def holds_carried(body: bytes) -> bool:
    """Whether a request holds what `carry` put into an answer before, so that no upstream may get it as it is.

    May be true of a request that only speaks of such; the hub then finds nothing to take out.
    """
    return _CARRIED_PLAIN in body or _CARRIED_BASE64 in body


def carry(blob: Opaque, into: str) -> str:
    """A blob as the opaque string of the dialect `into`: its own unchanged, a foreign one marked with its origin."""
    return blob.value if blob.dialect == into else f"{_CARRIED}{blob.dialect}:{blob.value}"


def uncarry(value: str, own: str) -> Opaque:
    """The blob in an opaque string that a client of the dialect `own` sends back: undoes `carry`."""
    if value.startswith(_CARRIED):
        dialect, mark, rest = value.removeprefix(_CARRIED).partition(":")
        if mark:
            return Opaque(dialect, rest)
    return Opaque(own, value)
