"""`gatewright keys`: API keys that are kept in the gateway's database, made and withdrawn without a reload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from msgspec import UNSET, UnsetType

from gatewright.cli.administering import (
    changing,
    command_actor,
    parse_duration,
    parse_expiry,
    show_time,
    told,
    unix_now,
)
from gatewright.cli.database import Config, Json, State, opened
from gatewright.cli.exits import Exit, Failure
from gatewright.cli.groups import command_group
from gatewright.cli.output import print_json, print_line, print_note
from gatewright.cli.tables import print_table
from gatewright.control.actor import Actor
from gatewright.control.keys import MAX_PAGE, Key, KeyChange, KeyFilter, Keys, MadeKey
from gatewright.core.consumer import Scopes
from gatewright.store.secrets_file import read_or_create_secret

app = command_group(
    "API keys for applications: make, list, narrow, suspend, revoke and rotate them. No reload is needed."
)


class Only(StrEnum):
    """The states that a list may be narrowed to."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    REVOKED = "revoked"


Named = Annotated[str, typer.Argument(metavar="KEY", help="Its id or its prefix, as `keys list` shows them.")]
Name = Annotated[str | None, typer.Option("--name", help="What it is for, in your words.")]
Models = Annotated[
    str | None, typer.Option("--models", metavar="NAMES", help="Only these models: names, or beginnings as in `gpt-*`.")
]
Surfaces = Annotated[
    str | None, typer.Option("--surfaces", metavar="NAMES", help="Only these surfaces, as in `chat_completions`.")
]
Networks = Annotated[
    str | None, typer.Option("--networks", metavar="RANGES", help="Only from these addresses, as in `10.0.0.0/8`.")
]
Expires = Annotated[
    str | None,
    typer.Option("--expires", metavar="TIME", help="When it ends: 30d, 2027-01-01, 2027-01-01T14:00Z, never."),
]
_NO_SECRET: Final = b"\0" * 32
"""For what only reads: nothing is digested."""


@app.command("create")
def create(
    consumer: Annotated[str, typer.Argument(metavar="CONSUMER", help="organisation/team/application")],
    name: Name = None,
    models: Models = None,
    surfaces: Surfaces = None,
    networks: Networks = None,
    expires: Expires = None,
    config: Config = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Make a key for a consumer and print it. It is shown this once and kept nowhere.

    It works within a second on every worker of a gateway that runs. Lists are written with commas; what is not given
    does not narrow the key, and what is given must name something.

    Examples:

        gatewright keys create acme/search/indexer
        gatewright keys create acme/search/indexer --name nightly --models 'gpt-*,assistant' --expires 30d
        gatewright keys create acme/web/shop --networks 10.0.0.0/8 --json
    """
    expires_at = None if expires is None else parse_expiry(expires, unix_now())
    scopes = Scopes(**_parse_lists(models, surfaces, networks))
    with _changing(config, state) as keys:
        made = keys.create(command_actor(), consumer, name=name or "", scopes=scopes, expires_at=expires_at)
    _print_made(made, json)


@app.command("list")
def list_keys(
    consumer: Annotated[
        str, typer.Option("--consumer", metavar="PATH", help="Only this one's; `acme/*` is all below.")
    ] = "",
    search: Annotated[
        str, typer.Option("--search", metavar="TEXT", help="A part of a name, or how an id begins.")
    ] = "",
    only: Annotated[Only | None, typer.Option("--only", help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MAX_PAGE, help="How many at most.")] = 100,
    after: Annotated[str | None, typer.Option("--after", metavar="MARK", help="Go on where a page ended.")] = None,
    config: Config = None,
    state: State = None,
    json: Json = False,
) -> None:
    """List keys, the newest first.

    Examples:

        gatewright keys list
        gatewright keys list --consumer 'acme/*' --only active --json
    """
    chosen = KeyFilter(consumer=consumer, search=search, state=None if only is None else only.value)
    with _reading(config, state) as keys:
        page = keys.list(chosen, after=after, limit=limit)
    if json:
        print_json(page)
        return
    headers = ("KEY", "CONSUMER", "NAME", "STATE", "CREATED", "EXPIRES", "LAST USED")
    print_table(headers, [_row(key) for key in page.keys])
    if page.after is not None:
        print_note(f"There are more: --after {page.after}")


@app.command("show")
def show(named: Named, config: Config = None, state: State = None, json: Json = False) -> None:
    """Show everything that is known of a key. The key itself is not."""
    with _reading(config, state) as keys:
        key = keys.get(named)
    _print_key(key, json)


@app.command("change")
def change(
    named: Named,
    name: Name = None,
    models: Models = None,
    surfaces: Surfaces = None,
    networks: Networks = None,
    expires: Expires = None,
    config: Config = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Change what is given and leave the rest; an empty list (`--models ''`) narrows no longer.

    Examples:

        gatewright keys change k7m2q4xw3d --models 'gpt-4.1*' --networks ''
        gatewright keys change k7m2q4xw3d --expires never
    """
    expires_at: int | UnsetType | None = UNSET if expires is None else parse_expiry(expires, unix_now())
    lists = _parse_lists(models, surfaces, networks, may_lift=True)
    wanted = KeyChange(name=UNSET if name is None else name, lists=lists, expires_at=expires_at)
    with _changing(config, state) as keys:
        key = keys.change(command_actor(), named, wanted)
    _print_key(key, json)


@app.command("suspend")
def suspend(named: Named, config: Config = None, state: State = None, json: Json = False) -> None:
    """Refuse a key until `keys resume`."""
    _apply(Keys.suspend, named, config, state, json)


@app.command("resume")
def resume(named: Named, config: Config = None, state: State = None, json: Json = False) -> None:
    """Let a suspended key hold again."""
    _apply(Keys.resume, named, config, state, json)


@app.command("revoke")
def revoke(named: Named, config: Config = None, state: State = None, json: Json = False) -> None:
    """Refuse a key for good, within a second on every worker."""
    _apply(Keys.revoke, named, config, state, json)


@app.command("rotate")
def rotate(
    named: Named,
    overlap: Annotated[
        str, typer.Option("--overlap", metavar="TIME", help="How long the old key still holds: 0, 15m, 1h, 7d.")
    ] = "1h",
    expires: Expires = None,
    config: Config = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Make a new key like this one, print it, and let the old one end after the overlap.

    The new key has the same name and scopes, and lives as long as the old one was meant to, unless `--expires` says
    otherwise.

    Example:

        gatewright keys rotate k7m2q4xw3d --overlap 7d
    """
    overlap_s = parse_duration(overlap)
    expires_at: int | UnsetType | None = UNSET if expires is None else parse_expiry(expires, unix_now())
    with _changing(config, state) as keys:
        made = keys.rotate(command_actor(), named, overlap_s=overlap_s, expires_at=expires_at)
        old = keys.get(named)
    _print_made(made, json)
    print_note(f"The old key {old.prefix} ends at {show_time(old.expires_at)} UTC.")


def _apply(
    act: Callable[[Keys, Actor, str], Key], named: str, config: Path | None, state: Path | None, json: bool
) -> None:
    with _changing(config, state) as keys:
        key = act(keys, command_actor(), named)
    if json:
        print_json(key)
    else:
        print_line(f"{key.prefix} is {key.state}")


@contextmanager
def _changing(config: Path | None, state: Path | None) -> Iterator[Keys]:
    with changing(config, state) as (engine, directory):
        yield Keys(engine, read_or_create_secret(directory), unix_now)


@contextmanager
def _reading(config: Path | None, state: Path | None) -> Iterator[Keys]:
    with opened(config, state) as engine, told():
        yield Keys(engine, _NO_SECRET, unix_now)


def _parse_lists(
    models: str | None, surfaces: str | None, networks: str | None, *, may_lift: bool = False
) -> dict[str, tuple[str, ...]]:
    """Of the scopes those that were given, by field; an empty one is a fault unless it `may_lift`. Raises Failure."""
    lists = {}
    for field, text in (("models", models), ("surfaces", surfaces), ("networks", networks)):
        if text is None:
            continue
        entries = tuple(entry.strip() for entry in text.split(",") if entry.strip())
        # An empty list does not narrow, and whoever writes the option means to: a variable may not be set.
        if not entries and (text or not may_lift):
            hint = f"--{field} '' lets it hold for all" if may_lift else "without the option it holds for all"
            raise Failure(f"--{field} names nothing", code=Exit.USAGE, hint=hint)
        lists[field] = entries
    return lists


def _print_made(made: MadeKey, json: bool) -> None:
    if json:
        print_json({"key": made.text} | msgspec.to_builtins(made.key))
        return
    print_line(made.text)
    ends = "" if made.key.expires_at is None else f" until {show_time(made.key.expires_at)} UTC"
    print_note(f"The key {made.key.id} of {made.key.consumer} holds{ends}. It is shown only now.")


def _print_key(key: Key, json: bool) -> None:
    if json:
        print_json(key)
        return
    for field, value in _rows(key):
        print_line(f"{field:<10} {value}")


def _rows(key: Key) -> Iterator[tuple[str, str]]:
    yield "key", key.prefix
    yield "consumer", key.consumer
    yield "name", key.name or "-"
    yield "state", key.state
    for field in ("models", "surfaces", "networks"):
        yield field, ", ".join(getattr(key.scopes, field)) or "all"
    yield "created", f"{show_time(key.created_at)} by {key.created_by}"
    yield "expires", show_time(key.expires_at)
    yield "last used", show_time(key.last_used_at)
    if key.replaced_by is not None:
        yield "replaced", f"by {key.replaced_by}"


def _row(key: Key) -> tuple[str, ...]:
    times = (key.created_at, key.expires_at, key.last_used_at)
    return (key.prefix, key.consumer, key.name, key.state, *(show_time(at) for at in times))
