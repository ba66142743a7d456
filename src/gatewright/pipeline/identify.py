"""Who calls: from what a request shows to the consumer who is charged and limited."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, Final

import msgspec

from gatewright.core.consumer import ANONYMOUS, Consumer
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.core.ports import Ports
from gatewright.pipeline.snapshot import Snapshot

_KEY_HEADERS: Final = (b"x-api-key", b"api-key", b"x-goog-api-key")
_USER_MEMBERS: Final = ("user", "safety_identifier")
_MAX_USER: Final = 256
_text = msgspec.json.Decoder(str)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def identify(x: Exchange, ports: Ports) -> Coroutine[Any, Any, None] | None:
    """Find the consumer. Raises GatewayError when there is none, or what was shown is not valid.

    Gives a coroutine where others must be asked: await it as a task, and the consumer is known then.
    """
    credential = read_credential(x.headers)
    snapshot: Snapshot = x.snapshot
    callers = ports.callers
    if credential:
        consumer = snapshot.consumer_of(credential)
        if consumer is None and callers is not None:
            consumer = callers.known(credential)
            if consumer is None:
                pending = callers.find(credential)
                if pending is not None:
                    return _ask(x, pending)
    else:
        consumer = None if callers is None else callers.of_peer(x.peer)
    _accept(x, consumer, has_credential=bool(credential))
    return None


def read_credential(headers: Mapping[bytes, bytes]) -> bytes | None:
    """The key or JWT a request shows; None when it shows none. Raises GatewayError on another kind of Authorization."""
    authorization = headers.get(b"authorization")
    if authorization is not None:
        if authorization[:7].lower() != b"bearer ":
            raise GatewayError(
                Kind.UNAUTHENTICATED, "The Authorization header must read `Bearer`, one space, and the key."
            )
        return authorization[7:].strip()
    for name in _KEY_HEADERS:
        key = headers.get(name)
        if key is not None:
            return key
    return None


async def _ask(x: Exchange, pending: Coroutine[Any, Any, Consumer | None]) -> None:
    _accept(x, await pending, has_credential=True)


def _accept(x: Exchange, consumer: Consumer | None, *, has_credential: bool) -> None:
    snapshot: Snapshot = x.snapshot
    if consumer is not None:
        x.consumer = consumer
        x.is_identified = True
        return
    if snapshot.anonymous:
        x.consumer = ANONYMOUS
        return
    raise GatewayError(
        Kind.UNAUTHENTICATED,
        "The API key is not valid here. Use a key of this gateway, not a provider's."
        if has_credential
        else "No API key was sent. Send one of this gateway's keys as `Authorization: Bearer <key>`.",
    )


def read_user(x: Exchange, header: bytes) -> str:
    """The end user as the application names it: by header, else in the request's own member; empty when it does not."""
    sent = x.headers.get(header)
    if sent is not None:
        return sent[:_MAX_USER].decode("utf-8", "replace")
    fields = x.fields
    for name in _USER_MEMBERS:
        if name in fields:
            return _read_text(fields[name])
    if "metadata" in fields:
        try:
            user = _members.decode(fields["metadata"]).get("user_id")
        except msgspec.MsgspecError:
            return ""
        return "" if user is None else _read_text(user)
    return ""


def _read_text(raw: msgspec.Raw) -> str:
    try:
        return _text.decode(raw)[:_MAX_USER]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
