"""What a client's SDK told, in no vendor's words, and what each module of this folder offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol, TypeVar

QUESTION: Final = "How is the weather in Zürich?"
SYSTEM: Final = "You are terse."
TOOLS: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "get_weather",
        "description": "The weather of some days.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "units": {"type": "object", "properties": {"wind": {"type": "string"}}},
            },
            "required": ["city"],
        },
    },
    {
        "name": "get_time",
        "description": "The time in a zone.",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
    },
)
"""What a talk offers to the model."""


class Address(NamedTuple):
    """Where a gateway is, for whom."""

    base: str
    """Without a path."""
    key: str
    ca: str
    """A file with the authority of its certificate."""


C = TypeVar("C")
_made: Final[dict[tuple[str, Address], Any]] = {}


def kept(make: Callable[[Address], C]) -> Callable[[Address], C]:
    """Make one client per address; `close_all` ends their connections."""

    def connect(at: Address) -> C:
        key = (make.__module__, at)
        if key not in _made:
            _made[key] = make(at)
        client: C = _made[key]
        return client

    return connect


def close_all() -> None:
    """Close every client that was made."""
    for client in _made.values():
        if hasattr(client, "close"):
            client.close()
        else:
            client.__exit__(None, None, None)
    _made.clear()


class Told(NamedTuple):
    """One answer, read off the SDK's own objects."""

    text: str
    thought: str
    calls: tuple[tuple[str, str, Any], ...]
    """Id, name, arguments."""
    finish: str
    """In the words of the client's API."""
    counts: dict[str, int]
    """`input`, `cached`, `output`, `reasoning`, as far as the client's API tells them; empty when nothing is told."""


class Failed(Exception):
    """The answer itself says that it failed, for which its SDK raises nothing."""


class Talk(Protocol):
    """One conversation."""

    def ask(self, *, stream: bool, tools: bool = False, limit: int | None = None) -> Told:
        """Put the question; the answer may have `limit` tokens."""

    def answer(self, results: dict[str, str], *, stream: bool) -> Told:
        """Send the assistant's turn back as the SDK gave it, with the result of each of its calls by tool name."""


class Client(Protocol):
    """One client dialect, through its vendor's SDK."""

    NAME: str
    FINISH: dict[str, str]
    """How the API says `stop`, `length`, `tool_calls` and `content_filter`."""
    CARRIES: bool
    """Whether a signature can travel through the API to the client and back."""

    def begin(self, at: Address, model: str) -> Talk:
        """A new conversation."""
