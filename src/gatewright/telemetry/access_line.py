"""One line of the access log, as it is read: by the printer for people, by tests, and by the reference page."""

from __future__ import annotations

from msgspec import Struct


class AccessLine(Struct, kw_only=True):
    """One finished exchange. Members that do not apply are left out of the line."""

    time: str
    """When it ended, in UTC with milliseconds."""
    id: str
    """The request id: the client's own `x-request-id`, or the one the answer carried."""
    consumer: str = ""
    """Path of the consumer (`acme/search/indexer`)."""
    surface: str = ""
    """Client-facing API (`chat_completions`)."""
    model: str = ""
    """The published model, or the pattern that the client's name matched."""
    provider: str = ""
    """Configured provider of the last attempt."""
    upstream_model: str = ""
    """The provider's own name of the model."""
    status: int = 0
    """HTTP status; 499 when the client was gone."""
    stream: bool = False
    """Whether the answer was streamed."""
    total_ms: float = 0.0
    """From the first byte of the request to the last of the answer."""
    gateway_ms: float = 0.0
    """The gateway's own share of the time to first byte."""
    first_byte_ms: float | None = None
    """To the first byte of the answer."""
    input_tokens: int | None = None
    """All input tokens; as reported by the provider, like the three below."""
    cached_input_tokens: int | None = None
    """Of these, read from the provider's prompt cache."""
    output_tokens: int | None = None
    """All output tokens."""
    reasoning_tokens: int | None = None
    """Of these, spent on reasoning."""
    audio_s: float | None = None
    """Length of the audio that was heard, where the provider reports it."""
    search_units: float | None = None
    """Searches that a rerank was billed, where the provider counts those."""
    images: int | None = None
    """Pictures that were made, on the surfaces that make nothing else."""
    characters: int | None = None
    """Characters of the text that was spoken, where no tokens were reported."""
    web_searches: int | None = None
    """Searches of the web by the provider's own tool."""
    cost_usd: float | None = None
    """What it cost at the catalogue's prices, in US dollars; left out when that is not known."""
    attempts: int = 0
    """How many times an upstream was tried."""
    bytes_in: int = 0
    """Size of the request body."""
    bytes_out: int = 0
    """Size of the answer body."""
    kind: str = ""
    """Kind of error."""
    source: str = ""
    """Whose fault it was: `client`, `gateway` or `upstream`."""
    message: str = ""
    """What went wrong."""
    losses: list[str] = []
    """What translation to the provider's API, and back, could not carry over exactly."""
    cause: str = ""
    """The lower error, for operators."""
