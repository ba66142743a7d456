"""The keys that gateway tokens are signed with: files in `STATE/signing/`, shared by all workers of the gateway.

Theory of operation. Each file holds one key as a JWK, readable by its owner alone, and appears under its name complete.
The newest with a private part signs. A rotation adds a key and then takes the private part out of those before; their
public part stays until the longest-lived token that they could have signed has ended. One that is to hold longer was
signed by somebody who has the private part from elsewhere, of an old backup perhaps. Who changes something holds the
lock; who reads needs none, and looks again when the directory has changed.

All tokens of one key have the same header, byte for byte, so that a token is known by it before anything is decoded;
nothing in a header is ever believed. The cryptography is joserfc's: ES256 (RFC 7518 §3.4).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry
from msgspec import Struct

from gatewright.config.gateway_tokens import LONGEST_S

DIRECTORY: Final = "signing"
"""The name in a state directory."""
HEADER_CHARACTERS: Final = 110
"""Of every header, as the name of a key is its thumbprint (RFC 7638)."""
_OVERLAP_S: Final = LONGEST_S + 300
_LOCK: Final = "lock"
_SUFFIX: Final = ".jwk"
_ES256: Final = JWSRegistry.algorithms["ES256"]


class UnusableSigningKeys(Exception):
    """The keys cannot be read or made; the message says what to do."""


class _Stored(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The content of a file."""

    made_at: int
    until: int | None = None
    """When it is to be thrown away; None for the one that signs."""
    jwk: dict[str, str]

    def __repr__(self) -> str:
        return f"_Stored({self.made_at}, {self.until}, ***)"


class SigningKey(Struct, frozen=True, kw_only=True):
    """One key."""

    kid: str
    made_at: int
    """Unix seconds."""
    until: int | None
    """Until when its public part is published, and its tokens hold at most; None for the one that signs."""
    header: bytes
    """The first segment of all its tokens."""
    key: ECKey
    path: Path

    def sign(self, payload: bytes) -> bytes:
        """A whole token with this payload."""
        signed = b"%b.%b" % (self.header, _b64(payload))
        return b"%b.%b" % (signed, _b64(_ES256.sign(signed, self.key)))

    def has_signed(self, signed: bytes, signature: bytes) -> bool:
        """Whether the signature, as base64url text, is by this key. `signed` is header, dot and payload."""
        try:
            raw = urlsafe_b64decode(signature + b"=" * (-len(signature) % 4))
            # Re-encoded too: base64 can write the same bytes in several ways, and only one of them was signed.
            return _b64(raw) == signature and _ES256.verify(signed, raw, self.key)
        except (JoseError, ValueError):
            return False

    def vouches_for(self, expires_at: float) -> bool:
        """Whether a token with its signature may end then: none that it signed while it was in use ends after it."""
        return self.until is None or expires_at <= self.until


class SigningKeys:
    """The keys of one gateway, as one process sees them. Made with the first token that needs one."""

    def __init__(self, state: Path) -> None:
        self._directory = state / DIRECTORY
        self._stamp: object = None
        """What the directory looked like when it was read. Its date alone is too coarse for two changes in a row."""
        self._keys: dict[bytes, SigningKey] = {}
        """By their header."""
        self._newest: SigningKey | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is one that signs, as far as this process knows."""
        return self._newest is not None

    def current(self, now: float) -> SigningKey:
        """The key that signs, as of the last `refresh`; made when there is none. Raises UnusableSigningKeys."""
        if self._newest is None:
            with _locked(self._directory):
                self._load()
                if self._newest is None:
                    _write_new(self._directory, now)
            self.refresh()
        if self._newest is None:
            raise UnusableSigningKeys(f"{self._directory} holds no key; another process may have removed it")
        return self._newest

    def find(self, header: bytes) -> SigningKey | None:
        """The key whose tokens begin so. Raises UnusableSigningKeys."""
        found = self._keys.get(header)
        if found is None and len(header) == HEADER_CHARACTERS:
            self.refresh()
            found = self._keys.get(header)
        return found

    def refresh(self) -> bool:
        """Notice what others changed; takes some 20 µs. Whether there was anything. Raises UnusableSigningKeys."""
        try:
            found = os.stat(self._directory)
            stamp = found.st_mtime_ns, found.st_ino, os.listdir(self._directory)
        except FileNotFoundError:
            changed = bool(self._keys)
            self._stamp, self._keys, self._newest = None, {}, None
            return changed
        except OSError as error:
            raise UnusableSigningKeys(f"{self._directory} cannot be read: {error.strerror}") from None
        if stamp == self._stamp:
            return False
        self._load()
        self._stamp = stamp
        return True

    def jwks(self, now: float) -> bytes:
        """All public parts, as a JWK Set (RFC 7517 §5). Raises UnusableSigningKeys."""
        published = [
            {**_public(key.key), "kid": key.kid, "use": "sig", "alg": "ES256"}
            for key in self.all()
            if key.until is None or now < key.until
        ]
        return msgspec.json.encode({"keys": published})

    def all(self) -> list[SigningKey]:
        """Every key, the newest first. Raises UnusableSigningKeys."""
        self.refresh()
        return sorted(self._keys.values(), key=_age, reverse=True)

    def rotate(self, now: float, *, withdraw: bool = False) -> SigningKey:
        """Sign with a new key from now on. Raises UnusableSigningKeys.

        Tokens of those before hold to their end; with `withdraw` no more from now on.
        """
        with _locked(self._directory):
            self._load()
            before = list(self._keys.values())
            _write_new(self._directory, now)
            for key in before:
                if withdraw or (key.until is not None and now >= key.until):
                    key.path.unlink(missing_ok=True)
                elif key.until is None:
                    _write(key.path, _Stored(made_at=key.made_at, until=int(now) + _OVERLAP_S, jwk=_public(key.key)))
            _sync(self._directory)
        self._stamp = None
        self.refresh()
        return self.current(now)

    def _load(self) -> None:
        keys: dict[bytes, SigningKey] = {}
        try:
            paths = sorted(self._directory.glob(f"*{_SUFFIX}"))
        except OSError as error:
            raise UnusableSigningKeys(f"{self._directory} cannot be read: {error.strerror}") from None
        for path in paths:
            key = _read(path)
            if key is not None:
                keys[key.header] = key
        self._keys = keys
        self._newest = max((key for key in keys.values() if key.until is None), key=_age, default=None)


def _age(key: SigningKey) -> tuple[int, str]:
    return key.made_at, key.kid


def _read(path: Path) -> SigningKey | None:
    """One key; None when it was removed meanwhile. Raises UnusableSigningKeys."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            stored = msgspec.json.decode(file.read(), type=_Stored)
        if stored.until is None and stat.S_IMODE(mode) & 0o077:
            raise UnusableSigningKeys(f"{path} can be read by others than its owner; run: chmod 600 {path}")
        key = ECKey.import_key(cast(Any, stored.jwk))
        kid = key.thumbprint()
        if key.curve_name != "P-256" or (stored.until is None and not key.is_private):
            raise ValueError
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnusableSigningKeys(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, JoseError, ValueError, KeyError, TypeError):
        raise UnusableSigningKeys(f"{path} holds no key for ES256; restore it, or remove it") from None
    header = _b64(msgspec.json.encode({"alg": "ES256", "typ": "at+jwt", "kid": kid}))
    return SigningKey(kid=kid, made_at=stored.made_at, until=stored.until, header=header, key=key, path=path)


def _public(key: ECKey) -> dict[str, str]:
    found = key.as_dict(private=False)
    return {name: str(found[name]) for name in ("kty", "crv", "x", "y")}


def _write_new(directory: Path, now: float) -> None:
    key = ECKey.generate_key("P-256")
    jwk = {**_public(key), "d": str(key.as_dict(private=True)["d"])}
    _write(directory / f"{int(now):012d}-{key.thumbprint()}{_SUFFIX}", _Stored(made_at=int(now), jwk=jwk))
    _sync(directory)


def _write(path: Path, stored: _Stored) -> None:
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(stored))
            file.flush()
            os.fsync(fd)
        new.replace(path)
    except OSError as error:
        raise UnusableSigningKeys(f"{path} cannot be written: {error.strerror}") from None


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UnusableSigningKeys(f"{directory} cannot be used: {error.strerror}") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _b64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
