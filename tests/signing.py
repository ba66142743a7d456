"""JWTs for tests: signed by an issuer of our own, or forged in every way we know."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from functools import cache
from threading import Lock
from typing import Any

import msgspec
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

ISSUER = "https://login.acme.example/"
AUDIENCE = "https://gateway.acme.example"
NOW = 1_800_000_000.0
_MAKING = Lock()
"""Issuers answer in threads of their own: a key must not be made twice at the same time."""


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def b64_json(value: Any) -> str:
    return b64(msgspec.json.encode(value))


def rsa_key(number: int = 0) -> RSAKey:
    with _MAKING:
        return _rsa_key(number)


@cache
def _rsa_key(number: int) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": f"rsa-{number}"})


def ec_key(curve: str = "P-256") -> ECKey:
    with _MAKING:
        return _ec_key(curve)


@cache
def _ec_key(curve: str) -> ECKey:
    return ECKey.generate_key(curve, {"kid": f"ec-{curve}"})


def ed_key() -> OKPKey:
    with _MAKING:
        return _ed_key()


@cache
def _ed_key() -> OKPKey:
    return OKPKey.generate_key("Ed25519", {"kid": "ed-Ed25519"})


def public(key: Key, **members: Any) -> dict[str, Any]:
    """The key as an issuer publishes it."""
    jwk = {**key.as_dict(private=False), "kid": key.kid, "use": "sig", **members}
    return {name: value for name, value in jwk.items() if value is not None}


def key_set(*keys: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"keys": list(keys)})


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims, some replaced; None takes one out."""
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-1",
        "azp": "indexer",
        "groups": ["search"],
        "iat": int(NOW) - 60,
        "exp": int(NOW) + 600,
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def sign(
    body: dict[str, Any] | bytes | None = None,
    key: Key | None = None,
    alg: str = "RS256",
    header: dict[str, Any] | bytes | None = None,
) -> bytes:
    """A JWT that is signed properly, whatever it says."""
    key = rsa_key() if key is None else key
    if not isinstance(header, bytes):
        header = msgspec.json.encode({"alg": alg, "typ": "JWT", "kid": key.kid} | (header or {}))
    payload = body if isinstance(body, bytes) else msgspec.json.encode(claims() if body is None else body)
    signing_input = f"{b64(header)}.{b64(payload)}"
    signature = jws.default_registry.algorithms[alg].sign(signing_input.encode(), key)
    return f"{signing_input}.{b64(signature)}".encode()
