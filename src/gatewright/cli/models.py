"""`gatewright models`: what is published, where it goes, and what is known about it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import Struct

from gatewright.cli.loading import Checked, check_loaded, read_files
from gatewright.cli.output import print_json
from gatewright.cli.tables import print_table
from gatewright.config.catalogue import Catalogue, find, on_day
from gatewright.pipeline.targets import BoundTarget
from gatewright.providers.local import LOCAL

THIS_MACHINE = "this machine"
UNKNOWN, VARIES = "unknown", "varies"


class Row(Struct, frozen=True):
    """One target of one published model."""

    model: str
    share: str
    """Of the model's traffic, in percent; `fallback` for what is tried after the others."""
    provider: str
    type: str
    host: str
    upstream_model: str | None
    """The provider's own name; null where the client's is passed through."""
    context_tokens: int | None = None
    """By the model catalogue, like all that follows; null is unknown."""
    max_output_tokens: int | None = None
    input_usd: str | None = None
    """For a million input tokens."""
    output_usd: str | None = None
    """For a million output tokens."""
    price_version: str | None = None
    """Names the prices in the ledger; null where none is known."""


def published_rows(checked: Checked) -> list[Row]:
    """Every target of every published model, in the order of the document."""
    rows: list[Row] = []
    catalogue = checked.served.catalogue
    for name in checked.written.models:
        model = checked.snapshot.models.find(name)
        if model is None:
            continue
        shares = [(f"{100 * target.weight / model.total_weight:.3g}%", target) for target in model.targets]
        shares += [("fallback", target) for target in model.fallback]
        rows += [_row(name, share, target, catalogue) for share, target in shares]
    return rows


def _row(name: str, share: str, target: BoundTarget, catalogue: Catalogue) -> Row:
    upstream = target.upstream
    host = THIS_MACHINE if upstream.type == LOCAL.name else f"{upstream.origin.host}:{upstream.origin.port}"
    row = Row(name, share, target.provider, upstream.type, host, target.model)
    called = target.model or name
    facts = None if called.endswith("*") else find(catalogue, upstream.type, called)
    if facts is None:
        return row
    facts = on_day(facts, datetime.now(UTC).date().isoformat())
    return msgspec.structs.replace(
        row,
        context_tokens=facts.context_tokens,
        max_output_tokens=facts.max_output_tokens,
        input_usd=facts.prices and facts.prices.input,
        output_usd=facts.prices and facts.prices.output,
        price_version=facts.price_version if facts.prices is not None else None,
    )


def models(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE|DIR", help="The configuration.")] = Path(
        "gatewright.yaml"
    ),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a configuration publishes, where each name goes, and what is known about it.

    Context is in tokens, prices are in US dollars for a million of them, by the model catalogue and your own rows under
    `catalogue`. What a running gateway publishes to a caller is told by `GET /v1/models`.

    Examples:

        gatewright models
        gatewright models -c /etc/gatewright --json | jq -r '.[].model' | uniq
    """
    rows = published_rows(check_loaded(read_files(config, {})))
    if json:
        print_json(msgspec.to_builtins(rows))
        return
    columns = ("model", "share", "provider", "type", "host", "upstream model", "context", "input $/M", "output $/M")
    print_table([column.upper() for column in columns], [_cells(row) for row in rows])


def _cells(row: Row) -> tuple[str, ...]:
    where = (row.model, row.share, row.provider, row.type, row.host, row.upstream_model or "(as called)")
    if (row.upstream_model or row.model).endswith("*"):
        return (*where, VARIES, VARIES, VARIES)
    context = UNKNOWN if row.context_tokens is None else str(row.context_tokens)
    if row.price_version is None:
        return (*where, context, UNKNOWN, UNKNOWN)
    # What has a price but none for tokens is charged by the image, the hour or the like.
    return (*where, context, row.input_usd or "-", row.output_usd or "-")
