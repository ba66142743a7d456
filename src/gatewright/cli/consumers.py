"""`gatewright consumers`: what is kept about applications beyond their keys, and all keys of one at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from msgspec import UNSET, UnsetType

from gatewright.cli.administering import changing, command_actor, show_time, told, unix_now
from gatewright.cli.database import Config, Json, State, opened
from gatewright.cli.exits import Exit, Failure
from gatewright.cli.groups import command_group
from gatewright.cli.output import print_json, print_line, print_note
from gatewright.cli.tables import print_table
from gatewright.control.actor import Actor
from gatewright.control.consumers import MAX_PAGE, Consumers, ManagedConsumer

app = command_group(
    "Consumers: give an application a name and details, suspend all its keys at once, or remove it with them."
)

Consumer = Annotated[str, typer.Argument(metavar="CONSUMER", help="organisation/team/application")]
Name = Annotated[str | None, typer.Option("--name", help="What people call it.")]
Details = Annotated[
    str | None,
    typer.Option("--details", metavar="JSON", help="What you want to know of it, such as an owner: a JSON object."),
]
_object: Final = msgspec.json.Decoder(dict[str, Any])


@app.command("create")
def create(
    path: Consumer,
    name: Name = None,
    details: Details = None,
    config: Config = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Keep a consumer, with a name and details. It needs neither to have keys: `keys create` is enough for that.

    Examples:

        gatewright consumers create acme/search/indexer --name Indexer
        gatewright consumers create acme/web/shop --details '{"owner": "ada@acme.example", "cost_centre": 4711}'
    """
    given = _parse_details(details)
    with _changing(config, state) as consumers:
        made = consumers.create(command_actor(), path, name=name or "", details=given)
    _print_consumer(made, json)


@app.command("list")
def list_consumers(
    search: Annotated[str, typer.Option("--search", metavar="TEXT", help="How the path begins: `acme/search/`.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=MAX_PAGE, help="How many at most.")] = 100,
    after: Annotated[str, typer.Option("--after", metavar="PATH", help="Go on where a page ended.")] = "",
    config: Config = None,
    state: State = None,
    json: Json = False,
) -> None:
    """List the consumers that are kept, by path. One of the configuration, or with keys only, need not be among them.

    Examples:

        gatewright consumers list
        gatewright consumers list --search acme/ --json
    """
    with _reading(config, state) as consumers:
        page = consumers.list(search=search, after=after, limit=limit)
    if json:
        print_json(page)
        return
    print_table(("CONSUMER", "NAME", "STATE", "CREATED"), [_row(one) for one in page.consumers])
    if page.after is not None:
        print_note(f"There are more: --after {page.after}")


@app.command("show")
def show(path: Consumer, config: Config = None, state: State = None, json: Json = False) -> None:
    """Show everything that is kept of a consumer; `keys list --consumer` lists its keys."""
    with _reading(config, state) as consumers:
        consumer = consumers.get(path)
    _print_consumer(consumer, json)


@app.command("change")
def change(
    path: Consumer,
    name: Name = None,
    details: Details = None,
    config: Config = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Change the name, or all of the details; what is not given stays.

    Example:

        gatewright consumers change acme/web/shop --details '{"owner": "max@acme.example"}'
    """
    wanted: dict[str, Any] | UnsetType = UNSET if details is None else _parse_details(details)
    with _changing(config, state) as consumers:
        consumer = consumers.change(command_actor(), path, name=UNSET if name is None else name, details=wanted)
    _print_consumer(consumer, json)


@app.command("suspend")
def suspend(path: Consumer, config: Config = None, state: State = None, json: Json = False) -> None:
    """Refuse all keys of a consumer until `consumers resume`, within a second on every worker."""
    _apply(Consumers.suspend, path, config, state, json)


@app.command("resume")
def resume(path: Consumer, config: Config = None, state: State = None, json: Json = False) -> None:
    """Let the keys of a suspended consumer hold again, but for those that are suspended themselves."""
    _apply(Consumers.resume, path, config, state, json)


@app.command("remove")
def remove(path: Consumer, config: Config = None, state: State = None, json: Json = False) -> None:
    """Keep a consumer no longer, and revoke all its keys for good. What it used stays in the ledger."""
    with _changing(config, state) as consumers:
        revoked = consumers.delete(command_actor(), path)
    if json:
        print_json({"path": path, "revoked_keys": revoked})
    else:
        print_line(f"{path} is removed; keys revoked with it: {revoked}")


def _apply(
    act: Callable[[Consumers, Actor, str], ManagedConsumer],
    path: str,
    config: Path | None,
    state: Path | None,
    json: bool,
) -> None:
    with _changing(config, state) as consumers:
        consumer = act(consumers, command_actor(), path)
    if json:
        print_json(consumer)
    else:
        print_line(f"{consumer.path} is {_state(consumer)}")


@contextmanager
def _changing(config: Path | None, state: Path | None) -> Iterator[Consumers]:
    with changing(config, state) as (engine, _):
        yield Consumers(engine, unix_now)


@contextmanager
def _reading(config: Path | None, state: Path | None) -> Iterator[Consumers]:
    with opened(config, state) as engine, told():
        yield Consumers(engine, unix_now)


def _parse_details(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        return _object.decode(text)
    except (msgspec.MsgspecError, UnicodeError):
        hint = """write it as in --details '{"owner": "ada@acme.example"}'"""
        raise Failure("--details is no JSON object", code=Exit.USAGE, hint=hint) from None


def _print_consumer(consumer: ManagedConsumer, json: bool) -> None:
    if json:
        print_json(consumer)
        return
    rows = (
        ("consumer", consumer.path),
        ("name", consumer.name or "-"),
        ("state", _state(consumer)),
        ("created", show_time(consumer.created_at)),
        ("suspended", show_time(consumer.suspended_at)),
        ("details", msgspec.json.encode(consumer.details).decode()),
    )
    for field, value in rows:
        print_line(f"{field:<10} {value}")


def _row(consumer: ManagedConsumer) -> tuple[str, ...]:
    return (consumer.path, consumer.name, _state(consumer), show_time(consumer.created_at))


def _state(consumer: ManagedConsumer) -> str:
    return "active" if consumer.suspended_at is None else "suspended"
