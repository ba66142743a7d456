"""A checked document as bytes for the private channel between the processes, secrets included.

This is the only place that writes a `Secret` out. The bytes go from process to process of one gateway and never to a
disk, a log or a network.
"""

from __future__ import annotations

from typing import Final

import msgspec

from gatewright.config.documents import Gateway
from gatewright.core.secret import Secret

_SECRET_CODE: Final = 1


def encode(document: Gateway) -> bytes:
    """The bytes of a document; `decode` gives an equal one."""
    return _encoder.encode(document)


def decode(data: bytes) -> Gateway:
    """The document of some bytes. Raises msgspec.DecodeError on anything that `encode` did not write."""
    return _decoder.decode(data)


def _encode_secret(value: object) -> msgspec.msgpack.Ext:
    if isinstance(value, Secret):
        return msgspec.msgpack.Ext(_SECRET_CODE, value.reveal().encode())
    raise TypeError(f"a document holds a {type(value).__name__}, which has no place in one")


def _decode_ext(code: int, data: memoryview) -> Secret:
    if code != _SECRET_CODE:
        raise msgspec.DecodeError(f"unknown extension {code}")
    try:
        return Secret(bytes(data).decode())
    except UnicodeDecodeError:
        raise msgspec.DecodeError("a secret that is not UTF-8 text") from None


_encoder: Final = msgspec.msgpack.Encoder(enc_hook=_encode_secret)
_decoder: Final = msgspec.msgpack.Decoder(Gateway, ext_hook=_decode_ext)
