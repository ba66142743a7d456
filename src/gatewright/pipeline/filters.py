"""What a filter is, and the phases it may take part in.

The phases and their order are fixed (DESIGN §4); within a phase filters run in the order of their policies.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, TypeVar

from msgspec import Struct

from gatewright.config.documents import Document
from gatewright.core.exchange import Exchange
from gatewright.core.ports import Ports
from gatewright.core.reply import Reply
from gatewright.pipeline.claims import Claims

C = TypeVar("C", bound=Document)


class Filter:
    """The code behind a policy. Subclasses override the phases they need; other hooks are never called.

    Request hooks run once per exchange, before a target is picked, so failover cannot multiply what they count. They
    may change `x.fields`, answer with a `Reply`, or refuse with `GatewayError`. Response hooks run before bytes leave
    for the client. `on_settle` runs exactly once whatever happened, also for exchanges refused by a later filter.
    """

    needs_task: ClassVar[bool] = True
    """Whether its request hooks await anything beyond this process (a client library, a time-out). A filter that only
    computes says False: then the exchange runs its hooks without the price of a task."""

    def __init__(self, config: Any, ports: Ports) -> None:
        raise TypeError(f"{type(self).__name__} does not say how it is built")

    async def on_authorize(self, x: Exchange) -> Reply | None:
        """Decide whether the consumer may make this exchange."""
        return None

    def on_reserve(self, x: Exchange) -> Claims | None:
        """Say what the exchange takes of limits and budgets. Return the same object for the same group: the pipeline
        reserves, extends and settles the claims of all filters together."""
        return None

    async def on_request(self, x: Exchange) -> Reply | None:
        """Inspect or change the request."""
        return None

    async def on_look_up(self, x: Exchange) -> Reply | None:
        """Answer from what is known already."""
        return None

    def on_response(self, x: Exchange, body: bytes) -> bytes:
        """Inspect or change a complete answer with status 200; the whole body, in the client's dialect.

        On surfaces that are passed through it need not be JSON: speech and files are bytes.
        """
        return body

    def on_events(self, x: Exchange, events: list[bytes]) -> list[bytes]:
        """Inspect or change some events of a stream, whole ones, in the client's dialect."""
        return events

    def on_settle(self, x: Exchange) -> None:
        """Book what was used; `x.usage` is final. Called once; must not raise."""


class FilterType(Struct, frozen=True):
    """One row of the filter registry."""

    name: str
    config: type[Document]
    build: type[Filter]
    summary: str
    """One sentence for the reference page."""


REQUEST_PHASES: Final = ("on_authorize", "on_reserve", "on_request", "on_look_up")
RESPONSE_PHASES: Final = ("on_response", "on_events", "on_settle")
