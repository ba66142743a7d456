"""What scripted providers say, told once in no vendor's words: each dialect's module renders the plays its own way."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol


class Call(NamedTuple):
    """A tool call as the model means it."""

    name: str
    arguments: dict[str, Any]


class Play(NamedTuple):
    """One answer of a model."""

    words: tuple[str, ...] = ()
    """The answer's text, as the pieces a stream sends it in."""
    thought: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    finish: str = "stop"
    """`stop`, `length`, `tool_calls` or `content_filter`."""

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.words)


class Counts(NamedTuple):
    """Token counts with totals that include their parts."""

    input: int
    cached: int
    output: int
    reasoning: int = 0


WEATHER: Final = Call("get_weather", {"city": "Zürich", "days": 3, "units": {"wind": "km/h"}})
TIME: Final = Call("get_time", {"zone": "Europe/Zurich"})
THOUGHT: Final = ("The user greets,", " so I greet back.")
RESULTS: Final = {WEATHER.name: "21 degrees, light “Föhn”", TIME.name: "noon"}
"""What each tool answers."""

PLAYS: Final = {
    "text": Play(("Grüezi", " from the 🐮", " provider\n\n– bye.")),
    "call": Play(calls=(WEATHER,), finish="tool_calls"),
    "calls": Play(("Let me look.",), calls=(WEATHER, TIME), finish="tool_calls"),
    "thinks": Play(("Grüezi!",), thought=THOUGHT),
    "thinks-calls": Play(thought=THOUGHT, calls=(WEATHER, TIME), finish="tool_calls"),
    "long": Play(("Once upon", " a"), finish="length"),
    "refuses": Play(finish="content_filter"),
    "json": Play(('{"city":"Zürich",', '"degrees":21}')),
}
DONE: Final = Play(("It is 21 degrees", " at noon."))
"""The answer to a conversation that ends with the results of tools."""
FAULTS: Final = ("limited", "broken", "cut")
"""Models that fail: 429 with a wait of 7 seconds, 500, and a stream that fails after its first words."""
COUNTS: Final = Counts(20, 8, 7, 3)
"""Used by every answer; only those that think have reasoning in it."""
FAULT_TEXT: Final = "The scripted model is unwell."
WAIT_S: Final = 7


class Turn(NamedTuple):
    """The conversation that a provider received, in no vendor's words."""

    calls: tuple[tuple[str, str, Any], ...]
    """Id, name and arguments of each tool call of the assistant."""
    results: tuple[tuple[str, str], ...]
    """Id of the call and the text of each result."""
    signatures: tuple[str, ...]
    """Every opaque blob that came back."""
    tools: tuple[str, ...]
    """The tools on offer."""


class Provider(Protocol):
    """What a module of this folder offers: one provider dialect."""

    NAME: str
    """The dialect."""
    TYPE: str
    """The provider type to configure."""
    BASE: str
    """What follows the scripted upstream's address in the provider's `url`."""
    SIGNATURE: str | None
    """The blob that comes with thoughts."""
    LACKS: frozenset[str]
    """Plays this API has no words for."""
    COUNTED: frozenset[str]
    """Which token counts it tells."""
    STREAM_TYPE: str
    """Content type of its streams."""

    def check(self, body: Any, path: str) -> None:
        """Raise ValueError when the vendor would refuse this request."""

    def render(self, play: Play, model: str) -> bytes:
        """A complete answer."""

    def render_stream(self, play: Play, model: str) -> list[bytes]:
        """The events of a streamed answer, framed."""

    def fault_event(self) -> bytes:
        """The event of a failure inside a stream."""

    def error(self, status: int, message: str) -> tuple[bytes, list[tuple[str, str]]]:
        """The body and headers of an error."""

    def read(self, body: Any) -> Turn:
        """The conversation in a request."""


def render_id(index: int) -> str:
    """The id a scripted provider gives to its call number `index`."""
    return f"call_Scripted{index:04d}"
