"""`gatewright admin-keys`: who may use the admin API. The first key can be made in no other way."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import typer

from gatewright.cli.administering import changing, command_actor, parse_expiry, show_time, told, unix_now
from gatewright.cli.database import Config, Json, State, opened
from gatewright.cli.groups import command_group
from gatewright.cli.output import print_json, print_line, print_note
from gatewright.cli.tables import print_table
from gatewright.control.admin_keys import AdminKey, AdminKeys, Role
from gatewright.store.secrets_file import read_or_create_secret

app = command_group("Keys for the admin API: make, list and revoke them.")
_NO_SECRET: Final = b"\0" * 32
"""For what only reads: nothing is digested."""


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who or what will hold it; the audit log names it.")],
    role: Annotated[
        Role,
        typer.Option("--role", help="`viewer` reads; `operator` changes consumers, keys and budgets; `admin` all."),
    ],
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="When it ends: 30d, 2027-01-01, never (default).")
    ] = None,
    config: Config = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Make a key for the admin API and print it. It is shown this once and kept nowhere.

    Examples:

        gatewright admin-keys create alice --role admin
        gatewright admin-keys create dashboard --role viewer --expires 90d
    """
    expires_at = None if expires is None else parse_expiry(expires, unix_now())
    with changing(config, state) as (engine, directory):
        keys = AdminKeys(engine, read_or_create_secret(directory), unix_now)
        key, text = keys.create(command_actor(), name, role, expires_at)
    if json:
        print_json({"key": text} | msgspec.to_builtins(key))
        return
    print_line(text)
    ends = "" if key.expires_at is None else f" until {show_time(key.expires_at)} UTC"
    print_note(f"The admin key {key.id} of {key.name} ({key.role}) holds{ends}. It is shown only now.")


@app.command("list")
def list_keys(config: Config = None, state: State = None, json: Json = False) -> None:
    """List the admin keys, the newest first, revoked and expired ones too."""
    with opened(config, state) as engine, told():
        keys = AdminKeys(engine, _NO_SECRET, unix_now).list()
    if json:
        print_json(keys)
        return
    now = unix_now()
    rows = [
        (key.id, key.name, key.role.value, _state(key, now), show_time(key.created_at), show_time(key.expires_at))
        for key in keys
    ]
    print_table(("ID", "NAME", "ROLE", "STATE", "CREATED", "EXPIRES"), rows)


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `admin-keys list` shows it.")],
    config: Config = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Refuse a key from now on, for good: the next request with it is refused.

    The last key may be revoked here as well; `admin-keys create` makes the next one.
    """
    with changing(config, state) as (engine, directory):
        keys = AdminKeys(engine, read_or_create_secret(directory), unix_now)
        key = keys.revoke(command_actor(), key_id, may_lock_out=True)
    if json:
        print_json(key)
    else:
        print_line(f"{key.id} is revoked")


def _state(key: AdminKey, now: float) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"
