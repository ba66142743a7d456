"""Content codings of answers (RFC 9110 §8.4): only for upstreams that compress though asked not to."""

from __future__ import annotations

import zlib


class UnknownCoding(Exception):
    """A content coding the gateway cannot undo. The message names it."""


class Inflater:
    """Undoes `gzip` (of one or more members) or `deflate`, piece by piece; gives no more than `max_bytes` in all."""

    def __init__(self, coding: bytes, max_bytes: int) -> None:
        name = coding.strip().lower()
        if name in (b"gzip", b"x-gzip"):
            bits = 16 + zlib.MAX_WBITS
        elif name == b"deflate":
            bits = zlib.MAX_WBITS
        else:
            raise UnknownCoding(name.decode("latin-1"))
        self._bits = bits
        self._stream = zlib.decompressobj(bits)
        self._left = max_bytes

    def feed(self, data: bytes) -> bytes:
        """The bytes `data` stands for. Raises ValueError on garbage and when the limit is passed."""
        pieces: list[bytes] = []
        while data:
            if self._stream.eof:
                # RFC 1952 §2.2: a gzip body may be several members, one after the other; zeros pad the last.
                data = data.lstrip(b"\0")
                if not data:
                    break
                self._stream = zlib.decompressobj(self._bits)
            pieces.append(self._inflate(data))
            data = self._stream.unused_data
        return b"".join(pieces)

    def _inflate(self, data: bytes) -> bytes:
        try:
            out = self._stream.decompress(data, self._left + 1)
        except zlib.error as error:
            raise ValueError(f"its compressed body is corrupt ({error})") from None
        self._left -= len(out)
        if self._left < 0:
            raise ValueError("its body is too large when decompressed")
        return out
