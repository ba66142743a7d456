"""`gatewright explain-translation`: what becomes of a request on its way to another vendor's API."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import typer

from gatewright.cli.exits import Exit, Failure
from gatewright.cli.output import print_json, print_line, print_note
from gatewright.core.errors import GatewayError
from gatewright.core.loss import LossReport
from gatewright.core.surface import Dialect
from gatewright.core.traits import Traits
from gatewright.dialects import DIALECTS
from gatewright.translate.hub import read_wish, translate
from gatewright.translate.identity import parse_fields

_SHOWN: Final = tuple(dialect.name for dialect in DIALECTS if dialect.chat is not None)


def explain_translation(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A request body as JSON; - reads standard input.")],
    to: Annotated[str, typer.Option("--to", metavar="DIALECT", help=f"The provider's API: {', '.join(_SHOWN)}.")],
    source: Annotated[str, typer.Option("--from", metavar="DIALECT", help="The client's API.")] = "openai.chat",
    model: Annotated[
        str | None, typer.Option(help="The provider's model; default is the one the request names.")
    ] = None,
    fidelity: Annotated[
        Literal["strict", "warn", "permissive"], typer.Option(help="As in the configuration of a model.")
    ] = "permissive",
    json: Annotated[bool, typer.Option("--json", help="Print JSON: the request and the losses.")] = False,
) -> None:
    """Show a request as another vendor's API would get it, and what could not be carried over exactly.

    The request goes to standard output, the losses to standard error. Exit code 0 when it can be translated, 1 when the
    fidelity forbids it, 2 when it is not a request of the dialect.

    Examples:

        gatewright explain-translation request.json --to anthropic.messages
        pbpaste | gatewright explain-translation - --to bedrock.converse --fidelity strict
        gatewright explain-translation claude.json --from anthropic.messages --to openai.chat --json | jq .losses
    """
    client, upstream = _dialect("--from", source), _dialect("--to", to)
    body = sys.stdin.buffer.read() if str(file) == "-" else _read(file)
    try:
        members = parse_fields(body)
        named = msgspec.json.decode(members.get("model", msgspec.Raw(b'"model"')))
        wish = read_wish(
            client,
            members,
            str(named),
            stream=members.get("stream") == msgspec.Raw(b"true"),
            response_id="explain",
            created=0,
            fidelity=fidelity,
        )
    except GatewayError as refused:
        raise Failure(f"this is no request of {client.name}: {refused.message}", code=Exit.USAGE) from None
    translation = translate(wish, upstream, model or str(named), Traits())
    error: GatewayError | None = None
    request: Any = None
    try:
        request = msgspec.json.decode(translation.render_request())
    except GatewayError as refused:
        error = refused
    _print(request, translation.report, error, json=json)
    if error is not None:
        raise typer.Exit(Exit.FAILURE)


def _print(request: Any, report: LossReport, error: GatewayError | None, *, json: bool) -> None:
    if json:
        losses = [
            {"feature": loss.feature.value, "outcome": loss.outcome.value, "path": loss.path, "note": loss.note}
            for loss in report.entries
        ]
        print_json({"request": request, "losses": losses, "error": None if error is None else error.message})
        return
    if request is not None:
        print_line(msgspec.json.format(msgspec.json.encode(request), indent=2).decode())
    for loss in report.entries:
        print_note(f"{loss.outcome.value}: {loss.path} ({loss.feature.value}): {loss.note}")
    if error is not None:
        print_note(f"error: {error.message}")
    elif not report.entries:
        print_note("nothing is lost")


def _dialect(option: str, name: str) -> Dialect:
    for dialect in DIALECTS:
        if dialect.name == name and dialect.chat is not None:
            return dialect
    raise Failure(f"{option}: there is no chat dialect `{name}`", code=Exit.USAGE, hint=f"one of {', '.join(_SHOWN)}")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}", code=Exit.USAGE) from None
