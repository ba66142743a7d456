"""`gatewright tokens`: revokes gateway tokens, and changes the keys that they are signed with."""

from __future__ import annotations

import sys
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from gatewright.cli.administering import changing, command_actor, show_time, unix_now
from gatewright.cli.database import Config, Json, State, place
from gatewright.cli.exits import Exit, Failure
from gatewright.cli.groups import command_group
from gatewright.cli.output import print_json, print_line, print_note
from gatewright.cli.tables import print_table
from gatewright.control.audit import append
from gatewright.pipeline.gateway_tokens import decode_token, end_of, parse_id, spell_id
from gatewright.server.signing_keys import SigningKey, SigningKeys, UnusableSigningKeys
from gatewright.store.revoked_tokens import DIRECTORY, RevokedTokens, UnusableRevocations

app = command_group("Gateway tokens (`identity.tokens`): revoke them, and rotate the keys that sign them.")


@app.command("revoke")
def revoke(
    named: Annotated[
        str, typer.Argument(metavar="TOKEN", help="Its `jti`, or the token itself; `-` reads it from standard input.")
    ],
    config: Config = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Refuse a token from now on, on every worker at once, with every token that it was exchanged for.

    Examples:

        gatewright tokens revoke abvqc4zu2u55eobgjdxavfg4vpnqjvcn
        gatewright tokens revoke - < token.txt
    """
    token_id = _find_id(sys.stdin.readline() if named == "-" else named)
    name, ends_at = spell_id(token_id), end_of(token_id)
    if ends_at <= unix_now():
        raise Failure(f"the token {name} ended at {show_time(ends_at)} UTC")
    with _audited(config, state, "token.revoke", f"token/{name}", {"ends_at": ends_at}) as directory:
        revoked = RevokedTokens(directory / DIRECTORY)
        try:
            revoked.add(token_id, unix_now())
        finally:
            revoked.close()
    if json:
        print_json({"id": name, "ends_at": ends_at})
    else:
        print_line(f"{name} is revoked")


@app.command("list")
def list_revoked(config: Config = None, state: State = None, json: Json = False) -> None:
    """List the revoked tokens that would still hold. What is only given and used is kept nowhere."""
    _, directory = place(config, state)
    found: list[bytes] = []
    if (directory / DIRECTORY).is_dir():
        with _told():
            revoked = RevokedTokens(directory / DIRECTORY)
            try:
                found = revoked.names(unix_now())
            finally:
                revoked.close()
    if json:
        print_json([{"id": spell_id(name), "ends_at": end_of(name)} for name in found])
        return
    print_table(("REVOKED TOKEN", "ENDS"), [(spell_id(name), show_time(end_of(name))) for name in found])


@app.command("keys")
def list_keys(config: Config = None, state: State = None, json: Json = False) -> None:
    """List the keys that tokens are signed with: the one in use, and those whose tokens may still hold."""
    _, directory = place(config, state)
    with _told():
        found = SigningKeys(directory).all()
    if json:
        print_json([_describe(key) for key in found])
        return
    now = unix_now()
    rows = [(key.kid, _state(key, now), *_times(key)) for key in found]
    print_table(("KEY", "STATE", "MADE", "UNTIL"), rows)


@app.command("rotate")
def rotate(
    withdraw: Annotated[
        bool,
        typer.Option("--withdraw", help="Refuse every token that was signed before: when a key is known to others."),
    ] = False,
    config: Config = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Sign tokens with a new key from now on. Those that were signed before hold to their end.

    Examples:

        gatewright tokens rotate
        gatewright tokens rotate --withdraw
    """
    action = "token_key.withdraw" if withdraw else "token_key.rotate"
    with _audited(config, state, action, "token_keys", {"withdraw": withdraw}) as directory:
        key = SigningKeys(directory).rotate(unix_now(), withdraw=withdraw)
    if json:
        print_json(_describe(key))
        return
    print_line(key.kid)
    print_note(
        "Tokens signed before are refused from now on." if withdraw else "Tokens signed before hold to their end."
    )


@contextmanager
def _audited(config: Path | None, state: Path | None, action: str, subject: str, after: Any) -> Iterator[Path]:
    """The state directory, for a change that is written down when it was made, and only then."""
    with changing(config, state) as (engine, directory), _told(), engine.begin() as connection:
        append(connection, command_actor(), action, subject, None, after, unix_now())
        yield directory


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (UnusableSigningKeys, UnusableRevocations) as error:
        raise Failure(str(error)) from None


def _find_id(text: str) -> bytes:
    """The name of a token, from itself or from its name. Its signature says nothing here: who may run this may revoke
    what they like."""
    text = text.strip()
    segments = text.split(".")
    if len(segments) == 3:
        try:
            text = decode_token(urlsafe_b64decode(segments[1] + "=" * (-len(segments[1]) % 4))).jti
        except ValueError:
            text = ""
    found = parse_id(text)
    if found is None:
        raise Failure("this is no gateway token, and no `jti` of one", code=Exit.USAGE)
    return found


def _describe(key: SigningKey) -> dict[str, Any]:
    return {"kid": key.kid, "signs": key.until is None, "made_at": key.made_at, "until": key.until}


def _state(key: SigningKey, now: float) -> str:
    return "signs" if key.until is None else "verifies" if now < key.until else "ended"


def _times(key: SigningKey) -> tuple[str, str]:
    return show_time(key.made_at), show_time(key.until)
