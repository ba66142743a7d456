"""Words that several modules of the Responses dialect share."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import Extension, Opaque, carry, uncarry

NAME: Final = "openai.responses"

_members: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])
_string = msgspec.json.Decoder(str)
_PREFIX: Final = re.compile(r"^(?:resp|chatcmpl|msg|req|gen)[-_]")
_NO_WORD: Final = re.compile(r"[^0-9A-Za-z]")

# Which slot of the hub a blob came from is told in the origin that `carry` writes, because an item of a Responses
# conversation has a single opaque slot: the signature of the thoughts themselves, encrypted thoughts, or the signature
# of the part that stands before.
SIGNATURE: Final = ""
ENCRYPTED: Final = "+encrypted"
PREVIOUS: Final = "+previous"
NO_BLOB: Final = Opaque("none", "")
"""Stands where another dialect's thoughts have no blob, so that they are known as such when they come back."""


def own(extension: Extension | None) -> dict[str, Raw]:
    """The members of an extension that this dialect wrote; empty for any other."""
    return extension.members if extension is not None and extension.dialect == NAME else {}


def is_own(extension: Extension | None) -> bool:
    """Whether this dialect wrote the extension."""
    return extension is not None and extension.dialect == NAME


def extension(**members: Any) -> Extension:
    """An extension of this dialect."""
    return Extension(NAME, members)


def object_members(raw: Raw | None) -> dict[str, Raw]:
    """The members of an object; none when it is not one."""
    if raw is None:
        return {}
    try:
        return _members.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def string_value(raw: Raw | None) -> str | None:
    """The string that `raw` spells; None when it is anything else."""
    if raw is None or not bytes(raw).startswith(b'"'):
        return None
    try:
        return _string.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def carry_blob(blob: Opaque, slot: str) -> str:
    """A blob as the `encrypted_content` of a reasoning item."""
    if blob.dialect == NAME and slot != PREVIOUS:
        return blob.value
    return carry(Opaque(blob.dialect + slot, blob.value), NAME)


def uncarry_blob(value: str) -> tuple[Opaque, str]:
    """The blob in an `encrypted_content`, and the slot of the hub it belongs to."""
    blob = uncarry(value, NAME)
    if blob.dialect == NAME:
        return blob, ENCRYPTED
    dialect, plus, slot = blob.dialect.partition("+")
    return Opaque(dialect, blob.value), plus + slot


def id_stem(response_id: str) -> str:
    """What the ids of an answer's items are made of, so that they are unique and the same each time."""
    return _NO_WORD.sub("", _PREFIX.sub("", response_id)) or "0"


def response_id(upstream_id: str, exchange_id: str, *, is_ours: bool) -> str:
    """The id of an answer: a Responses server's own, else one derived from the exchange."""
    if upstream_id and (is_ours or upstream_id.startswith("resp_")):
        return upstream_id
    return "resp_" + id_stem(exchange_id)
