"""JWTs, checked without any I/O: form, signature and dates (RFC 7519, RFC 7515, and the advice of RFC 8725).

A JWT is parsed strictly first, since everything in it is the sender's. Its `iss` and `kid` choose among configured
issuers and their published keys by comparison alone: nothing in a JWT is ever fetched, opened or used as a key (`jku`,
`jwk`, `x5u` and `x5c` are not looked at). The key decides which algorithms may be used with it, the issuer which of
those are accepted, and the header's `alg` must agree with both. The cryptography is joserfc's.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key
from joserfc.jws import CompactSignature, JWSRegistry, validate_compact
from msgspec import Struct

from gatewright.pipeline.identities import ALGORITHMS, Rules, refused

MAX_BYTES: Final = 16_384
"""A longer credential is refused before it is looked at. Identity providers stay below a quarter of this."""
_PUBLIC_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_SEGMENT: Final = re.compile(rb"[A-Za-z0-9_-]+\Z")
_MAX_KEYS: Final = 200
_MODULUS_BITS: Final = range(2048, 8193)
"""NIST SP 800-131A: smaller RSA keys are not to be used. Larger ones make each check cost milliseconds."""
_MAX_MODULUS_CHARACTERS: Final = 1_400
_MAX_EXPONENT_CHARACTERS: Final = 8
_LAST_DATE: Final = 253_402_300_799
"""The end of the year 9999. RFC 7519 §2 calls a date a number, and any JSON number can be sent as one."""


class Unverified(Struct, frozen=True):
    """A JWT that is well-formed. Nothing it says is true yet."""

    issuer: str
    algorithm: str
    kid: str | None
    claims: dict[str, Any]
    header: dict[str, Any]
    segments: tuple[bytes, bytes, bytes]
    payload: bytes


class KeyRing:
    """The public keys an issuer has published."""

    __slots__ = ("_keys", "names")

    def __init__(self, keys: Iterable[tuple[str | None, Key]]) -> None:
        self._keys = tuple(keys)
        self.names = frozenset((kid, key.thumbprint()) for kid, key in self._keys)
        """What there is, to tell whether another ring has lost some of it."""

    def find(self, kid: str | None, algorithm: str) -> Key | None:
        """The key of this name that can be used with `algorithm`; without a name the only one that can."""
        wanted = ALGORITHMS.get(algorithm)
        found = [
            key
            for name, key in self._keys
            if (kid is None or name == kid) and key.key_type == wanted and key.alg in (None, algorithm)
        ]
        return found[0] if len(found) == 1 or (found and kid is not None) else None


def parse(credential: bytes) -> Unverified:
    """Take a JWT apart. Raises GatewayError for everything that is not exactly one."""
    if len(credential) > MAX_BYTES:
        raise refused(f"The JWT is larger than {MAX_BYTES} bytes. Ask the identity provider for one with fewer claims.")
    segments = credential.split(b".")
    if len(segments) == 5:
        raise refused("The JWT is encrypted (JWE). Send one that is only signed.")
    if len(segments) != 3:
        raise refused("A JWT has three parts, separated by dots; this one has not. It may have been cut.")
    raw_header, payload, _ = [_decode_segment(segment) for segment in segments]
    header = _read_object(raw_header, "header")
    claims = _read_object(payload, "claims")
    algorithm, kid, issuer = header.get("alg"), header.get("kid"), claims.get("iss")
    if not isinstance(algorithm, str):
        raise refused("The JWT's header names no algorithm (`alg`).")
    if kid is not None and not isinstance(kid, str):
        raise refused("The `kid` in the JWT's header is not text.")
    if not isinstance(issuer, str):
        raise refused("The JWT does not say who issued it (`iss`).")
    # RFC 7515 §4.1.11: what is critical and not understood makes a JWS invalid, and no extension is understood here.
    # RFC 7797 §7: `b64` must not be used in a JWT.
    if "crit" in header or "b64" in header:
        raise refused("The JWT uses an extension (`crit`, `b64`) that this gateway does not know.")
    if not _is_access_type(header.get("typ")):
        raise refused("The JWT's `typ` says that it is not for calling a service with.")
    return Unverified(
        issuer=issuer,
        algorithm=algorithm,
        kid=kid,
        claims=claims,
        header={"alg": algorithm},
        segments=(segments[0], segments[1], segments[2]),
        payload=payload,
    )


def check_algorithm(jwt: Unverified, rules: Rules) -> None:
    """Refuse an algorithm that is not accepted of this issuer. Raises GatewayError."""
    if jwt.algorithm not in rules.algorithms:
        raise refused(f"The JWT is signed by `{shorten(jwt.algorithm)}`, which is not accepted of its issuer here.")


def verify(jwt: Unverified, rules: Rules, key: Key, now: float) -> float:
    """Check signature, dates and audience; the Unix seconds until which the JWT may be used. Raises GatewayError.

    `now` is Unix seconds. The claims count from here on, and not before.
    """
    check_algorithm(jwt, rules)
    signed = CompactSignature(jwt.header, jwt.payload)
    signed.segments.update({"header": jwt.segments[0], "payload": jwt.segments[1], "signature": jwt.segments[2]})
    try:
        is_genuine = validate_compact(signed, key, registry=_registry)
    except (JoseError, ValueError) as error:
        raise refused("The JWT's signature does not fit its key.", cause=error) from None
    if not is_genuine:
        raise refused("The JWT's signature is not valid.")
    _check_audience(jwt.claims, rules)
    return _check_dates(jwt.claims, rules, now)


def parse_keys(body: bytes) -> KeyRing:
    """A JWK Set (RFC 7517 §5). What is not a public key for signatures is left out.

    Only public members are read, so a private key that was published by mistake is not taken in. Raises ValueError
    when there is no set, or nothing of use in it.
    """
    try:
        document = _any.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("it is not JSON") from None
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it is no JWK Set: it has no list of `keys`")
    found = [_import_key(jwk) for jwk in listed[:_MAX_KEYS]]
    usable = [key for key in found if key is not None]
    if not usable:
        raise ValueError("it holds no public key for signatures that can be used")
    return KeyRing(usable)


def shorten(text: str) -> str:
    """What the caller wrote, as it may stand in a message."""
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= 100 else text[:100] + "…"


def _decode_segment(segment: bytes) -> bytes:
    # Re-encoded too: base64 can write the same bytes in several ways, and only one of them was signed.
    if _SEGMENT.match(segment) and len(segment) % 4 != 1:
        raw = urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
        if urlsafe_b64encode(raw).rstrip(b"=") == segment:
            return raw
    raise refused("The JWT is not base64url text throughout. It may have been cut or changed.")


class _Name:
    """A member's name that equals no other, so that a name written twice is found twice."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _make_name(_: type, text: Any) -> _Name:
    return _Name(text)


_members: Final = msgspec.json.Decoder(dict[_Name, Any], dec_hook=_make_name)
_any: Final = msgspec.json.Decoder()


def _read_object(text: bytes, part: str) -> dict[str, Any]:
    try:
        members = _members.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise refused(f"The JWT's {part} are not a JSON object that can be read.", cause=error) from None
    fields = {name.text: value for name, value in members.items()}
    if len(fields) != len(members):
        # RFC 7519 §4: names must be unique; whoever reads the first and whoever reads the last would disagree.
        raise refused(f"The JWT's {part} hold the same name twice.")
    return fields


def _is_access_type(typ: object) -> bool:
    """RFC 8725 §3.11: a log-out or event token, signed by the same key, must not pass for an access token."""
    if typ is None:
        return True
    return isinstance(typ, str) and (typ.lower() == "jwt" or typ.lower().endswith("at+jwt"))


class _Registry(JWSRegistry):
    """Exactly our algorithms. joserfc's own registry knows `none` and the HS family, and warns at each `EdDSA`."""

    max_signature_length = MAX_BYTES

    def get_alg(self, name: str) -> Any:
        if name not in ALGORITHMS:
            raise ValueError("an algorithm that is never accepted")
        return self.algorithms[name]


_registry: Final = _Registry()


def _import_key(jwk: object) -> tuple[str | None, Key] | None:
    """One key of a set, or None when it is not for us: another type or use, too small, or broken (RFC 7517 §5)."""
    if not isinstance(jwk, dict):
        return None
    kind, kid, alg, operations = jwk.get("kty"), jwk.get("kid"), jwk.get("alg"), jwk.get("key_ops", ["verify"])
    members = _PUBLIC_MEMBERS.get(kind) if isinstance(kind, str) else None
    if members is None or jwk.get("use", "sig") != "sig" or not isinstance(kid, str | None):
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    if alg is not None and (not isinstance(alg, str) or ALGORITHMS.get(alg) != kind):
        return None
    public: dict[str, Any] = {name: jwk.get(name) for name in members} | {"kty": kind}
    if not all(isinstance(value, str) for value in public.values()):
        return None
    try:
        if kind == "RSA" and not _is_good_size(public["n"], public["e"]):
            return None
        return kid, JWKRegistry.import_key(cast(Any, public if alg is None else public | {"alg": alg}))
    except (JoseError, ValueError, KeyError, TypeError):
        return None


def _is_good_size(modulus: str, exponent: str) -> bool:
    if len(modulus) > _MAX_MODULUS_CHARACTERS or len(exponent) > _MAX_EXPONENT_CHARACTERS:
        return False
    number = int.from_bytes(urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4)), "big")
    return number.bit_length() in _MODULUS_BITS


def _check_audience(claims: Mapping[str, Any], rules: Rules) -> None:
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise refused("The JWT does not say for whom it is (`aud`). Ask for one whose audience is this gateway.")
    if rules.audience.isdisjoint(named):
        shown = ", ".join(f"`{shorten(name)}`" for name in named[:3])
        raise refused(f"The JWT is for another audience ({shown}). Ask for one whose audience is this gateway.")


def _check_dates(claims: Mapping[str, Any], rules: Rules, now: float) -> float:
    leeway = rules.leeway_s
    expires = _date(claims, "exp")
    begins, issued = _date(claims, "nbf"), _date(claims, "iat")
    if expires is None:
        raise refused("The JWT has no end (`exp`), so it is not accepted.")
    until = expires + leeway
    if now >= until:
        raise refused(f"The JWT expired at {_time_text(expires)}. Get a new one.")
    if begins is not None and now < begins - leeway:
        raise refused(f"The JWT may not be used before {_time_text(begins)} (`nbf`). Check the clocks.")
    if issued is not None and now < issued - leeway:
        raise refused(f"The JWT was issued in the future, at {_time_text(issued)} (`iat`). Check the clocks.")
    if rules.max_age_s is not None:
        if issued is None:
            raise refused("The JWT does not say when it was issued (`iat`), which is required of its issuer here.")
        until = min(until, issued + rules.max_age_s + leeway)
        if now >= until:
            raise refused(
                f"The JWT was issued at {_time_text(issued)}; those of its issuer may be used for "
                f"{rules.max_age_s:g} s here. Get a new one."
            )
    return until


def _date(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LAST_DATE:
        raise refused(f"The JWT's `{name}` is not a date in seconds since 1970.")
    return float(value)


def _time_text(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
