import gzip
import zlib

import pytest

from gatewright.wire.coding import Inflater, UnknownCoding

BODY = b'{"answer": "' + b"word " * 500 + b'"}'
CODED = {
    b"gzip": gzip.compress(BODY, mtime=0),
    b"x-gzip": gzip.compress(BODY, mtime=0),
    b" GZIP ": gzip.compress(BODY, mtime=0),
    b"deflate": zlib.compress(BODY),
}


def inflated(coding: bytes, data: bytes, size: int, max_bytes: int = 10_000) -> bytes:
    inflater = Inflater(coding, max_bytes)
    return b"".join([inflater.feed(data[start : start + size]) for start in range(0, len(data), size)])


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("coding", CODED)
def test_a_body_in_any_pieces(coding: bytes, size: int) -> None:
    assert inflated(coding, CODED[coding], size) == BODY


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_gzip_body_of_several_members_with_padding(size: int) -> None:
    data = gzip.compress(b"one ", mtime=0) + gzip.compress(b"two", mtime=0) + b"\0" * 9
    assert inflated(b"gzip", data, size) == b"one two"


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, br", b"identity", b""])
def test_other_codings_are_named(coding: bytes) -> None:
    with pytest.raises(UnknownCoding) as refused:
        Inflater(coding, 10)
    assert str(refused.value) == coding.decode()


@pytest.mark.parametrize("data", [b"not gzip at all", CODED[b"gzip"][:-8] + bytes(8), CODED[b"gzip"] + b"behind"])
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="corrupt"):
        inflated(b"gzip", data, 100_000)


def test_the_limit_is_for_all_pieces_and_members_together() -> None:
    assert inflated(b"gzip", CODED[b"gzip"], 9, max_bytes=len(BODY)) == BODY
    with pytest.raises(ValueError, match="too large"):
        inflated(b"gzip", CODED[b"gzip"], 9, max_bytes=len(BODY) - 1)
    with pytest.raises(ValueError, match="too large"):
        inflated(b"gzip", CODED[b"gzip"] * 2, 10_000, max_bytes=2 * len(BODY) - 1)


def test_a_bomb_never_grows_beyond_the_limit() -> None:
    inflater = Inflater(b"gzip", 1_000)
    with pytest.raises(ValueError, match="too large"):
        inflater.feed(gzip.compress(b"\0" * 50_000_000, mtime=0))
