"""The gateway's own secret: 32 random bytes in `STATE/secret`, the key of the digests of all API keys.

Gateways that share a database must share this file too. Whoever loses it loses every key made with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final

SECRET_FILE: Final = "secret"
SECRET_BYTES: Final = 32


class UnusableSecret(Exception):
    """The file is there but cannot be used; the message says what to do."""


def read_secret(state: Path) -> bytes | None:
    """The secret of a state directory; None when it has none yet. Raises UnusableSecret."""
    path = state / SECRET_FILE
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = file.read(SECRET_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnusableSecret(f"{path} cannot be read: {error.strerror}") from None
    if stat.S_IMODE(mode) & 0o027:
        raise UnusableSecret(f"{path} can be read by everybody or changed by others; run: chmod 600 {path}")
    if len(secret) != SECRET_BYTES:
        raise UnusableSecret(f"{path} does not hold {SECRET_BYTES} bytes; restore it, or remove it and make new keys")
    return secret


def read_or_create_secret(state: Path) -> bytes:
    """The secret of a state directory, made when there is none. Raises UnusableSecret.

    Processes that start at the same time get the same one: it appears under its name complete, and once only.
    """
    if (secret := read_secret(state)) is not None:
        return secret
    new = state / f".{SECRET_FILE}.{os.getpid()}.{secrets.token_hex(8)}"
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(new, secrets.token_bytes(SECRET_BYTES))
        try:
            with contextlib.suppress(FileExistsError):
                os.link(new, state / SECRET_FILE)
        finally:
            new.unlink()
        _sync_directory(state)
    except OSError as error:
        raise UnusableSecret(f"{state / SECRET_FILE} cannot be made: {error.strerror}") from None
    secret = read_secret(state)
    if secret is None:
        raise UnusableSecret(f"{state / SECRET_FILE} was removed while it was made")
    return secret


def fingerprint(secret: bytes) -> int:
    """63 bits that tell secrets apart and nothing about them."""
    return int.from_bytes(hashlib.blake2b(b"fingerprint", key=secret, digest_size=8).digest(), "big") >> 1


def _write(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
