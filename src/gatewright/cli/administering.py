"""How commands make administrative changes: in the gateway's database, in the name of whoever runs them."""

from __future__ import annotations

import os
import pwd
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from gatewright.cli.database import opened, place
from gatewright.cli.exits import Exit, Failure
from gatewright.control.actor import Actor
from gatewright.control.key_projection import write_through
from gatewright.control.refusals import ChangeRefused, Unacceptable
from gatewright.store.database import migrate
from gatewright.store.secrets_file import UnusableSecret

_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"(\d{1,9})([smhdw])")


@contextmanager
def changing(config: Path | None, state: Path | None) -> Iterator[tuple[Engine, Path]]:
    """The database, ready to be changed, and the state directory; what was changed of keys is brought to the workers
    when the block ends.

    What is refused is a Failure. No gateway need run or have run: the directory and the database are made.
    """
    _, directory = place(config, state)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"cannot use {directory} as state directory: {error.strerror}") from None
    _check_owner(directory)
    with opened(config, state, read_only=False, current=False) as engine, told():
        migrate(engine)
        yield engine, directory
        write_through(engine, directory)


def _check_owner(directory: Path) -> None:
    """Refuse to leave files in a gateway's directory that it could not read: a database or a secret of root's."""
    owner = directory.stat().st_uid
    if owner != os.geteuid():
        name = _user_name(owner)
        raise Failure(
            f"the state directory {directory} belongs to {name}", hint=f"run this as that user: sudo -u {name} …"
        )


@contextmanager
def told() -> Iterator[None]:
    """What a service refuses is a Failure."""
    try:
        yield
    except Unacceptable as refused:
        raise Failure(refused.message, code=Exit.USAGE) from None
    except ChangeRefused as refused:
        raise Failure(refused.message) from None
    except UnusableSecret as unusable:
        raise Failure(str(unusable)) from None


def command_actor() -> Actor:
    """Whoever runs this command. The system is asked, for anybody can set a variable."""
    return Actor(f"{_user_name(os.geteuid())}@{socket.gethostname()}", "admin", "cli")


def _user_name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"#{user}"


def unix_now() -> float:
    """Unix seconds."""
    return datetime.now(UTC).timestamp()


def parse_duration(text: str) -> int:
    """Seconds: `90s`, `15m`, `1h`, `30d`, `4w`, or `0`. Raises Failure."""
    found = _DURATION.fullmatch(text)
    if found is None and text != "0":
        raise Failure(f"`{text}` is no length of time", code=Exit.USAGE, hint="write 90s, 15m, 1h, 30d or 4w")
    return int(found[1]) * _SECONDS[found[2]] if found else 0


def parse_expiry(text: str, now: float) -> int | None:
    """When something ends, in Unix seconds: in a while (`30d`), on a date or at a time (UTC unless it says otherwise),
    or `never`. Raises Failure."""
    if text == "never":
        return None
    if _DURATION.fullmatch(text):
        return int(now) + parse_duration(text)
    try:
        at = datetime.fromisoformat(text)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        hint = "write 30d, 2027-01-01, 2027-01-01T14:00Z or never"
        raise Failure(f"`{text}` is no time", code=Exit.USAGE, hint=hint) from None


def show_time(at: float | None) -> str:
    """A time for people, in UTC; `-` for none."""
    return "-" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
