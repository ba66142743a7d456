"""Thought signatures: opaque bytes that proto JSON spells in base64, standard or URL-safe.

A client of this API decodes the base64 and may spell it otherwise when it sends the signature back (the Python SDK
writes the URL-safe alphabet), so a signature of another dialect travels inside base64 of its own, under a mark that
looks the same in both alphabets. Google's own go through untouched: its servers read both spellings.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec
from msgspec import Struct

from gatewright.core.chat import Opaque, Reasoning, carry, uncarry
from gatewright.dialects.google.members import NAME

SKIP: Final = "skip_thought_signature_validator"
"""Google's documented stand-in for the signature of a call that Gemini did not make.

ai.google.dev/gemini-api/docs/thought-signatures: Gemini 3 refuses a history whose step begins with an unsigned call.
"""
_MARK: Final = "Z2F0ZXdyaWdo"
"""Base64 of `gatewrigh`, of which every carried blob's first bytes are made."""
_URL_SAFE: Final = str.maketrans("-_", "+/")


class _Thought(Struct, omit_defaults=True):
    """What a reasoning part holds besides one signature, for the way through a client that has one slot."""

    signature: str | None = None
    encrypted: str | None = None
    id: str | None = None


_thought_decoder = msgspec.json.Decoder(_Thought)
_thought_encoder = msgspec.json.Encoder()


def standard_base64(value: str) -> str:
    """Base64 in the standard alphabet with padding, whichever the sender chose."""
    if "-" in value or "_" in value:
        value = value.translate(_URL_SAFE)
    missing = -len(value) % 4
    return value if missing in (0, 3) else value + "=" * missing


def read_signature(value: str) -> Opaque:
    """The blob in a `thoughtSignature` that a client sends back."""
    carried = _carried(value)
    return Opaque(NAME, value) if carried is None or carried.startswith("{") else uncarry(carried, NAME)


def read_thought(text: str, value: str | None, *, is_summary: bool = True) -> Reasoning:
    """The thought whose part held `text` and the signature `value`."""
    carried = None if value is None else _carried(value)
    if carried is None or not carried.startswith("{"):
        signature = None if value is None else read_signature(value)
        return Reasoning(text=text, signature=signature, is_summary=is_summary)
    try:
        held = _thought_decoder.decode(carried)
    except (msgspec.DecodeError, RecursionError):
        return Reasoning(text=text, signature=Opaque(NAME, value or ""), is_summary=is_summary)
    return Reasoning(
        text=text,
        signature=None if held.signature is None else uncarry(held.signature, NAME),
        encrypted=None if held.encrypted is None else uncarry(held.encrypted, NAME),
        id=held.id,
        is_summary=is_summary,
    )


def write_signature(blob: Opaque) -> str:
    """A blob as the `thoughtSignature` of an answer to a client."""
    return blob.value if blob.dialect == NAME else _carry(carry(blob, NAME))


def write_thought(signature: Opaque | None, encrypted: Opaque | None, item: str | None) -> str | None:
    """All that must come back with a thought, as one `thoughtSignature`; None when there is nothing."""
    if encrypted is None and (item is None or signature is None):
        return None if signature is None else write_signature(signature)
    held = _Thought(
        signature=None if signature is None else _spelled(signature),
        encrypted=None if encrypted is None else _spelled(encrypted),
        id=item,
    )
    return _carry(_thought_encoder.encode(held).decode())


def _spelled(blob: Opaque) -> str:
    return f"gatewright.{blob.dialect}:{blob.value}"


def _carry(text: str) -> str:
    # An object is led in by the same letters, so that one mark serves both forms.
    return base64.b64encode((text if text.startswith("gatewright.") else f"gatewright{text}").encode()).decode()


def _carried(value: str) -> str | None:
    if not value.startswith(_MARK):
        return None
    try:
        text = base64.b64decode(standard_base64(value), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    if text.startswith("gatewright{"):
        return text.removeprefix("gatewright")
    return text if text.startswith("gatewright.") else None
