"""One client request with its response, from first byte to settled bill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gatewright.core.consumer import ANONYMOUS, Consumer

if TYPE_CHECKING:
    from gatewright.core.errors import GatewayError
    from gatewright.core.fields import Fields
    from gatewright.core.grant import Grant
    from gatewright.core.loss import LossReport
    from gatewright.core.surface import Dialect, Surface
    from gatewright.core.usage import Usage


OPEN: Final = 0
PRICED: Final = 1
"""What is used is known, and what it costs."""
SETTLED: Final = 2
BOOKED: Final = 3
RECORDED: Final = 4


class Exchange:
    """The state of one exchange. Phases fill it in; filters read it; the recorder settles it exactly once.

    Times are seconds of the worker's monotonic clock, 0.0 until they happen.
    """

    # Class-level defaults instead of slots: an exchange sets half of these, and setting costs more than a look-up. An
    # ordinary one must set no more than thirty: beyond that CPython gives up the shared layout of instances, and every
    # access costs more.
    surface: Surface | None = None
    dialect: Dialect | None = None
    consumer: Consumer
    is_identified = False
    """Whether `consumer` is who the caller was found to be."""
    user = ""
    """The end user, as the application names it."""
    peer: Any = None
    """The client's connection, for what is asked of it rarely: its address and certificate (`net.downstream`)."""
    fields: Fields
    """The members of a JSON request; of a form the text fields, to be looked at but not changed."""
    stream = False
    path_model: str | None = None
    """The model named in the path, where the surface names it there."""
    path_id: str | None = None
    """The id named in the path, where the surface names one there."""
    query = b""
    """What the client sent behind `?`, where the surface passes it on."""
    form: Any = None
    """Where the model stands in the body, once read, when the body is a form."""
    is_media = False
    """Whether the body is an upload, whose size says nothing about tokens."""
    requested_model = ""
    """What the client called; may be any text."""
    published_model = ""
    """The published name or pattern it matched; safe as a metric label."""
    model: Any = None
    target: Any = None
    chain: Any = None
    """The filters that apply, once consumer and model are known."""
    plan: Any = None
    """What limits and budgets count of it, once reserved (`pipeline.claims.Plan`)."""
    grant: Grant | None = None
    """What it holds of them, until it is settled."""
    budgets: tuple[Any, ...] = ()
    """The groups of the budgets it was paid from (`pipeline.claims.BudgetGroup`), once settled."""
    past: list[Any] | None = None
    """The attempts before the present one (`pipeline.booking.PastAttempt`)."""
    is_complete = False
    """Whether the upstream's answer came to its end, so that what it reported is final."""
    text_bytes = 0.0
    """Text that the model wrote in a stream, as far as `pipeline.missing_usage` looked at its blocks."""
    text_pieces = 0.0
    """In how many pieces it came."""
    text_looked_at = 0
    """`bytes_out` when a block was looked at last."""
    text_due = 0
    """`bytes_out` from which on the next block is looked at."""
    answer_tokens = 0
    """Output tokens of a complete answer by the gateway's own count, where the provider reported none."""
    price_version = ""
    """The catalogue row that `cost_femto_usd` was reckoned by."""
    cache = ""
    """`exact` or `semantic` for an answer from the cache."""
    attempts = 0
    others: list[Any] | None = None
    """The targets not tried yet, once the first has failed."""
    wish: Any = None
    """The request as the hub reads it, once a translation was needed."""
    losses: LossReport | None = None
    """What the (last) translation could not carry over exactly."""
    usage: Usage | None = None
    cost_femto_usd: int | None = None
    """What the answer cost at the catalogue's prices, in 10⁻¹⁵ US dollars; None when that is not known."""
    kept_notes: dict[object, Any] | None = None
    """Behind `notes`, once there are any."""
    closed = OPEN
    """How far it is closed: each of its steps is done once, in this order."""
    status = 0
    error: GatewayError | None = None
    bytes_out = 0
    sent_s = 0.0
    """When the (last) upstream request was written."""
    upstream_s = 0.0
    """Time spent waiting for upstreams until the first byte, all attempts together."""
    first_byte_s = 0.0
    finished_s = 0.0

    def __init__(self, exchange_id: str, snapshot: Any, headers: dict[bytes, bytes], body: bytes, now: float) -> None:
        self.id = exchange_id
        self.snapshot = snapshot
        """The compiled configuration this exchange runs under, start to end."""
        self.headers = headers
        self.body = body
        self.started_s = now
        self.consumer = ANONYMOUS
        self.fields = {}

    @property
    def bytes_in(self) -> int:
        """Size of the request's body."""
        return len(self.body)

    @property
    def notes(self) -> dict[object, Any]:
        """What filters leave for their own later phases, keyed by the filter."""
        kept = self.kept_notes
        if kept is None:
            kept = self.kept_notes = {}
        return kept
