"""`/admin/v1/usage`: what was used and what it cost."""

from __future__ import annotations

import csv
import io
from typing import Annotated, Any, Final, Literal

from litestar import Response, Router, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter

from gatewright.control.admin.parameters import needs, responses, text
from gatewright.control.admin.problems import Problem
from gatewright.control.admin.services import Services
from gatewright.control.admin_keys import Role
from gatewright.control.focus import write_focus
from gatewright.control.usage import Dimension, Order, UsageQuery, UsageReport, report_usage, rows_of

_LATEST: Final = 253_402_214_400
"""The last day of the year 9999: rounded up to its hour, a time must still be a date."""
_PATTERN: Final = "; all that begin so with a `*` at the end"
_CSV: Final = "text/csv"
MAX_EXPORT_CHARACTERS: Final = 32 * 1024 * 1024


def _name(what: str) -> Any:
    return text(600, f"{what}{_PATTERN}.")


def _time(what: str) -> Any:
    return QueryParameter(ge=0, le=_LATEST, description=f"{what}, in Unix seconds.")


@get(
    "/",
    operation_id="reportUsage",
    summary="Report usage and cost",
    responses={
        **responses(),
        200: ResponseSpec(UsageReport, generate_examples=False, description="The report; with `format`, as text/csv."),
    },
    sync_to_thread=True,
)
def report(
    services: Services,
    by: Annotated[
        list[Dimension] | None,
        QueryParameter(max_items=9, description="What to tell apart, in this order; may be given several times."),
    ] = None,
    since: Annotated[int, _time("From this hour on")] = 0,
    until: Annotated[int, _time("Before this hour")] = _LATEST,
    consumer: Annotated[str, _name("A consumer's path")] = "",
    model: Annotated[str, _name("A published model")] = "",
    provider: Annotated[str, _name("A provider")] = "",
    upstream_model: Annotated[str, _name("A provider's own model")] = "",
    order: Annotated[
        Order | None, QueryParameter(description="Default: by time where that is told apart, else cost.")
    ] = None,
    limit: Annotated[
        int, QueryParameter(ge=1, le=10_000, description="How many rows at most; the total covers all.")
    ] = 1_000,
    format_: Annotated[
        Literal["json", "csv", "focus"],
        QueryParameter(name="format", description="`csv` for a spreadsheet; `focus` for FinOps."),
    ] = "json",
) -> Response[UsageReport | str]:
    """The same as `gatewright usage`: from sums that the ledger keeps, so it is as quick for a year as for an hour.
    With `format=focus` the days as FOCUS has them, where `by`, `order` and `limit` mean nothing."""
    query = UsageQuery(
        by=tuple(dict.fromkeys(by or ())),
        since=since or None,
        until=until if until < _LATEST else None,
        consumer=consumer,
        model=model,
        provider=provider,
        upstream_model=upstream_model,
        order=order,
        limit=limit,
    )
    if format_ == "focus":
        export = _Bounded()
        write_focus(services.engine, query, export)
        return Response(export.getvalue(), media_type=_CSV)
    found = report_usage(services.engine, query)
    if format_ == "csv":
        text = io.StringIO()
        csv.writer(text).writerows(rows_of(found))
        return Response(text.getvalue(), media_type=_CSV)
    return Response(found)


ROUTER: Final = Router("/usage", route_handlers=[report], guards=[needs(Role.VIEWER)], tags=["usage"])


class _Bounded(io.StringIO):
    """Takes an export, but not without end: the answer is made in memory."""

    def write(self, text: str, /) -> int:
        if self.tell() > MAX_EXPORT_CHARACTERS:
            raise Problem(
                "unacceptable", "this is too much for one answer; ask for fewer days, or take `gatewright usage`"
            )
        return super().write(text)
