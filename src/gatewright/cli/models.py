"""`gatewright models`: what is published, and where it goes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import Struct

from gatewright.cli.loading import Checked, check_loaded, read_files
from gatewright.cli.output import print_json
from gatewright.cli.tables import print_table
from gatewright.pipeline.snapshot import BoundTarget
from gatewright.providers.local import LOCAL

THIS_MACHINE = "this machine"


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


def published_rows(checked: Checked) -> list[Row]:
    """Every target of every published model, in the order of the document."""
    rows: list[Row] = []
    for name in checked.written.models:
        model = checked.snapshot.models.find(name)
        if model is None:
            continue
        rows += [_row(name, f"{100 * target.weight / model.total_weight:.3g}%", target) for target in model.targets]
        rows += [_row(name, "fallback", target) for target in model.fallback]
    return rows


def _row(name: str, share: str, target: BoundTarget) -> Row:
    upstream = target.upstream
    host = THIS_MACHINE if upstream.type == LOCAL.name else f"{upstream.origin.host}:{upstream.origin.port}"
    return Row(name, share, target.provider, upstream.type, host, target.model)


def models(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE|DIR", help="The configuration.")] = Path(
        "gatewright.yaml"
    ),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a configuration publishes, and where each name goes.

    What a running gateway publishes to a caller is told by `GET /v1/models`.

    Examples:

        gatewright models
        gatewright models -c /etc/gatewright --json | jq -r '.[].model' | uniq
    """
    rows = published_rows(check_loaded(read_files(config, {})))
    if json:
        print_json(msgspec.to_builtins(rows))
        return
    columns = ("model", "share", "provider", "type", "host", "upstream model")
    cells = [(r.model, r.share, r.provider, r.type, r.host, r.upstream_model or "(as called)") for r in rows]
    print_table([column.upper() for column in columns], cells)
