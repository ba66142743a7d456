"""`/admin/v1/exchanges`: the entries of the ledger."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import Struct

from gatewright.control.admin.parameters import (
    EVER,
    Cursor,
    Limit,
    Since,
    Until,
    needs,
    parse_cursor,
    render_cursor,
    responses,
    text,
)
from gatewright.control.admin.services import Services
from gatewright.control.admin_keys import Role
from gatewright.control.exchanges import BookedExchange, Place, Wanted, list_exchanges


class ExchangePage(Struct, frozen=True):
    """Some exchanges."""

    items: list[BookedExchange]
    """The newest first."""
    next_cursor: str | None
    """For the next page; null on the last."""


@get("/", operation_id="listExchanges", summary="List exchanges", responses=responses(), sync_to_thread=True)
def list_booked(
    services: Services,
    id_: Annotated[str, text(128, "Its `x-request-id`.", name="id")] = "",
    consumer: Annotated[str, text(600, "A consumer's path, or all below one: `acme/*`.")] = "",
    key_id: Annotated[str, text(200, "What identified the consumer.")] = "",
    model: Annotated[str, text(300, "The published model.")] = "",
    surface: Annotated[str, text(60, "What was called.")] = "",
    kind: Annotated[str, text(40, "The kind of error that ended it.")] = "",
    status: Annotated[int, QueryParameter(ge=0, le=999, description="The status of the answer; 0 for any.")] = 0,
    since_us: Since = 0,
    until_us: Until = EVER,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> ExchangePage:
    """What the ledger has booked, with every attempt. A new entry is here within about a second."""
    wanted = Wanted(
        id=id_,
        consumer=consumer,
        key_id=key_id,
        model=model,
        surface=surface,
        kind=kind,
        status=status or None,
        since_us=since_us or None,
        until_us=until_us,
    )
    after = parse_cursor(cursor, Place)
    found, following = list_exchanges(services.engine, wanted, after=after, limit=limit)
    return ExchangePage(found, render_cursor(following) if following else None)


ROUTER: Final = Router("/exchanges", route_handlers=[list_booked], guards=[needs(Role.VIEWER)], tags=["exchanges"])
