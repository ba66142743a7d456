"""API keys that the gateway makes: their form, their digest, and what a worker knows of one.

    gw-k7m2q4xw3d-<43 characters: 256 random bits><6 characters: checksum>

The id behind `gw-` is public: it names the key in lists, logs and the ledger. Secret scanners find keys by
`gw-[a-z2-7]{10}-[0-9A-Za-z]{49}`, and the checksum tells one that was cut off or mistyped from one that nobody made.

What is kept of a key is its digest: BLAKE2b with the gateway's own secret as key. A copied table can so be searched by
nobody without that secret, and no salt or slow hash is needed, since 256 random bits cannot be guessed. The digest is
the table's key, and looking it up compares bytes in a time that depends on what they are; that tells nothing, because
who sends keys cannot choose digests without the secret.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from gatewright.core.consumer import Consumer, Scopes

PREFIX: Final = "gw-"
ID_CHARACTERS: Final = 10
SECRET_BITS: Final = 256
KEY_CHARACTERS: Final = 63
DIGEST_BYTES: Final = 32

_ID_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_CHARACTERS: Final = 43
_CHECKSUM_CHARACTERS: Final = 6
_FORM: Final = re.compile(rb"gw-[a-z2-7]{10}-[0-9A-Za-z]{49}")
_NAMED: Final = re.compile(r"(?:gw-)?([a-z2-7]{10})(?:-[0-9A-Za-z]{49})?")
_UNNARROWED: Final = Scopes()


class KeyRecord(Struct, frozen=True, array_like=True, omit_defaults=True):
    """What a worker knows of a key. Fields may be added at the end only: tables outlive versions."""

    id: str
    consumer: str
    """`organisation/team/application`."""
    scopes: Scopes = _UNNARROWED
    expires_at: int | None = None
    """Unix seconds."""
    is_suspended: bool = False
    """The key itself, or its consumer."""
    is_revoked: bool = False

    def fault(self, now: float) -> str | None:
        """Why the key does not hold now (Unix seconds), as the end of a sentence that begins with "the key"; None when
        it does."""
        if self.is_revoked:
            return "was revoked"
        if self.is_suspended:
            return "is suspended"
        if self.expires_at is not None and now >= self.expires_at:
            return "has expired"
        return None

    def as_consumer(self) -> Consumer:
        """Who calls with this key."""
        return Consumer(
            path=self.consumer,
            key_id=self.id,
            scopes=None if self.scopes == _UNNARROWED else self.scopes,
            expires_at=float("inf") if self.expires_at is None else self.expires_at,
        )


def make_key(random: Callable[[int], bytes]) -> tuple[str, str]:
    """A new key's id and the key itself. `random(n)` gives n bytes that nobody can guess."""
    key_id = "".join(_ID_ALPHABET[byte & 31] for byte in random(ID_CHARACTERS))
    secret = _spell(int.from_bytes(random(SECRET_BITS // 8), "big"), _SECRET_CHARACTERS)
    unchecked = f"{PREFIX}{key_id}-{secret}"
    return key_id, unchecked + _checksum(unchecked.encode())


def is_whole(key: bytes) -> bool:
    """Whether this can be a key that a gateway made: its form, and its checksum."""
    return (
        _FORM.fullmatch(key) is not None
        and _checksum(key[:-_CHECKSUM_CHARACTERS]).encode() == key[-_CHECKSUM_CHARACTERS:]
    )


def is_managed(key: bytes) -> bool:
    """Whether this looks like a key that a gateway made, right or wrong; for the wording of refusals."""
    return key.startswith(b"gw-") and key[13:14] == b"-" and len(key) != 46


def find_id(text: str) -> str | None:
    """The id that a person means: the id, `gw-` and the id, or the whole key. None when it is none of them."""
    found = _NAMED.fullmatch(text)
    return found[1] if found else None


def digest_of(key: bytes, secret: bytes) -> bytes:
    """What is kept of a key; `secret` is the gateway's (`STATE/secret`)."""
    return hashlib.blake2b(key, key=secret, digest_size=DIGEST_BYTES).digest()


def _checksum(unchecked: bytes) -> str:
    return _spell(zlib.crc32(unchecked), _CHECKSUM_CHARACTERS)


def _spell(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
