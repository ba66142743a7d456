"""What OAuth 2 says on the wire, without any I/O: forms, how a client proves who it is, and refusals (RFC 6749).

Everything here is read strictly, because what two readers understand differently is what attacks are made of: one
content type, no member twice, no encoding but UTF-8, nothing in the query.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Struct

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.reply import Reply

MAX_FORM_BYTES: Final = 65_536
MAX_MEMBERS: Final = 50
_FORM_TYPE: Final = b"application/x-www-form-urlencoded"
_REPEATED: Final = frozenset(("resource", "audience"))
"""RFC 8693 §2.1 and RFC 8707 §2: the only members that may be there more than once."""
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_UNSPEAKABLE: Final = re.compile(r"[^ !#-\[\]-~]")
"""What an `error_description` may not hold (RFC 6749 §5.2)."""

_CODES: Final[Mapping[str, tuple[int, Kind]]] = {
    "invalid_request": (400, Kind.MALFORMED_REQUEST),
    "invalid_client": (401, Kind.UNAUTHENTICATED),
    "invalid_grant": (400, Kind.UNAUTHENTICATED),
    "invalid_scope": (400, Kind.FORBIDDEN),
    "invalid_target": (400, Kind.FORBIDDEN),
    "unauthorized_client": (400, Kind.FORBIDDEN),
    "unsupported_grant_type": (400, Kind.UNSUPPORTED_FEATURE),
    "unsupported_token_type": (400, Kind.UNSUPPORTED_FEATURE),
    "temporarily_unavailable": (503, Kind.OVERLOADED),
}
"""Code → status and what the access log calls it. RFC 6749 §5.2, RFC 7009 §2.2.1, RFC 8693 §2.2.2."""
NO_STORE: Final = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))
"""RFC 6749 §5.1."""
_BASIC: Final = ((b"www-authenticate", b'Basic realm="gatewright", charset="UTF-8"'),)

Form = Mapping[str, list[str]]


class OAuthError(Exception):
    """A refusal by one of the codes of OAuth 2; the message says what was wrong and how to mend it."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        kind: Kind | None = None,
        retry_after_s: float | None = None,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(message)
        default_status, default_kind = _CODES[code]
        self.code, self.message = code, message
        self.status = default_status if status is None else status
        self.kind = default_kind if kind is None else kind
        self.retry_after_s = retry_after_s
        self.cause = cause

    def as_gateway_error(self) -> GatewayError:
        """The same for the access log."""
        return GatewayError(self.kind, f"{self.code}: {self.message}", cause=self.cause, status=self.status)

    def as_reply(self) -> Reply:
        """The answer (RFC 6749 §5.2)."""
        headers = NO_STORE + (_BASIC if self.status == 401 else ())
        if self.retry_after_s is not None:
            headers += ((b"retry-after", b"%d" % -(-self.retry_after_s // 1)),)
        described = _UNSPEAKABLE.sub("'", self.message)
        body = msgspec.json.encode({"error": self.code, "error_description": described})
        return Reply(self.status, body, headers=headers)


class Client(Struct, frozen=True):
    """Who a client says it is, with its proof. Nothing is checked yet."""

    id: str
    secret: str
    sent: str = ""
    """The secret as it was sent, where that is another: RFC 6749 wants it escaped, and curl does not do that."""

    def __repr__(self) -> str:
        return f"Client({self.id!r}, ***)"


def parse_form(headers: Mapping[bytes, bytes], query: bytes, body: bytes) -> Form:
    """The members of a request's form; those without a value count as absent (RFC 6749 §3.2). Raises OAuthError."""
    if query:
        raise OAuthError("invalid_request", "Send everything in the body: what stands in a URL ends up in logs.")
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != _FORM_TYPE:
        raise OAuthError("invalid_request", f"Send a form: `content-type: {_FORM_TYPE.decode()}`.")
    if len(body) > MAX_FORM_BYTES:
        raise OAuthError("invalid_request", f"The form is larger than {MAX_FORM_BYTES} bytes.", status=413)
    pairs = body.split(b"&") if body else []
    if len(pairs) > MAX_MEMBERS:
        raise OAuthError("invalid_request", f"The form has more than {MAX_MEMBERS} members.")
    form: dict[str, list[str]] = {}
    for pair in pairs:
        name, equals, value = pair.partition(b"=")
        if not equals:
            raise OAuthError("invalid_request", "The form is not made of members `name=value`, separated by `&`.")
        key = _decode(name)
        if not value:
            continue
        if key in form and key not in _REPEATED:
            raise OAuthError("invalid_request", f"The form has `{key[:50]}` twice.")
        form.setdefault(key, []).append(_decode(value))
    return form


def member(form: Form, name: str) -> str:
    """A member that is there once; empty when it is absent."""
    return form[name][0] if name in form else ""


def required(form: Form, name: str) -> str:
    """A member that must be there. Raises OAuthError."""
    found = member(form, name)
    if not found:
        raise OAuthError("invalid_request", f"`{name}` is missing in the form.")
    return found


def read_client(headers: Mapping[bytes, bytes], form: Form) -> Client | None:
    """Who the client says it is, by HTTP Basic or by the form (RFC 6749 §2.3.1); None when it does not prove it.

    Raises OAuthError when it is said in two ways, or cannot be read.
    """
    named, secret = member(form, "client_id"), member(form, "client_secret")
    authorization = headers.get(b"authorization")
    if authorization is None:
        if secret and not named:
            raise OAuthError("invalid_request", "`client_secret` was sent without `client_id`.")
        return Client(named, secret) if secret else None
    if secret:
        raise OAuthError("invalid_request", "Send the client's secret once: as HTTP Basic, or in the form.")
    client = _parse_basic(authorization)
    if named and named != client.id:
        raise OAuthError("invalid_request", "`client_id` in the form is not the one of the Authorization header.")
    return client


def _parse_basic(authorization: bytes) -> Client:
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        raise OAuthError("invalid_client", "Authenticate by HTTP Basic, or by `client_id` and `client_secret`.")
    try:
        text = b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        text = b""
    name, colon, secret = text.partition(b":")
    if not colon:
        raise OAuthError("invalid_client", "The Authorization header is not `Basic` and base64 of `id:secret`.")
    try:
        sent = secret.decode()
    except UnicodeDecodeError:
        raise OAuthError("invalid_client", "The secret in the Authorization header is not UTF-8.") from None
    decoded = sent if _BAD_ESCAPE.search(secret) else _decode(secret)
    return Client(_decode(name), decoded, "" if sent == decoded else sent)


def _decode(text: bytes) -> str:
    if _BAD_ESCAPE.search(text):
        raise OAuthError("invalid_request", "A `%` in the form begins no escape; write it as `%25`.")
    try:
        decoded = unquote_to_bytes(text.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise OAuthError("invalid_request", "The form is not UTF-8 throughout.") from None
    if "\0" in decoded:
        raise OAuthError("invalid_request", "The form holds a NUL.")
    return decoded
