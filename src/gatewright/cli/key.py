"""`gatewright key`: makes an API key and the hash that goes into the configuration."""

from __future__ import annotations

import hashlib
import secrets
import sys
from typing import Annotated, Final

import typer

from gatewright.cli.exits import Exit, Failure
from gatewright.cli.output import is_terminal, print_json, print_line, print_note

KEY_BYTES: Final = 32
"""Randomness of a key: 256 bits, so an unsalted hash of it cannot be searched."""


def make_key() -> str:
    """A new random API key: `gw-` and 43 URL-safe characters."""
    return "gw-" + secrets.token_urlsafe(KEY_BYTES)


def hash_key(key: str) -> str:
    """The form in which the configuration holds a key."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def key(
    hash_only: Annotated[
        bool, typer.Option("--hash", help="Read an existing key from standard input and print its hash only.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make an API key for an application, and the hash to put into the configuration.

    The key is printed once and stored nowhere. The configuration holds only its SHA-256, under
    `consumers.ORGANISATION.teams.TEAM.apps.APPLICATION.keys`.

    Examples:

        gatewright key
        gatewright key --json
        printf %s "$EXISTING_KEY" | gatewright key --hash
    """
    if hash_only:
        given = sys.stdin.read().strip()
        if not given:
            raise Failure("no key on standard input", code=Exit.USAGE, hint='printf %s "$KEY" | gatewright key --hash')
        hashed = hash_key(given)
        if json:
            print_json({"hash": hashed})
        else:
            print_line(hashed)
        return
    made = make_key()
    if json:
        print_json({"key": made, "hash": hash_key(made)})
        return
    print_line(made)
    print_line(hash_key(made))
    if is_terminal():
        print_note("The first line is for the caller and is shown only now; the second goes into the configuration.")
