"""What TCP's counters prove about a request that was on its way when its connection ended."""

from __future__ import annotations

import socket

import pytest
from wires import FakeSocket

from gatewright.net.delivery import Progress, read_progress, took_nothing

BEFORE = Progress(acked_bytes=1, sent_bytes=0)


@pytest.mark.parametrize(
    ("now", "peer_closed", "expected"),
    [
        pytest.param(Progress(501, 800), True, True, id="closed before any of it came"),
        pytest.param(Progress(502, 800), True, False, id="closed behind its first byte"),
        pytest.param(Progress(801, 800), True, False, id="closed behind all of it"),
        pytest.param(Progress(501, 800), False, False, id="reset: it may have been read and not acknowledged"),
        pytest.param(Progress(501, 500), False, True, id="reset before any of it was sent"),
        pytest.param(Progress(401, 500), False, True, id="nor was all of the one before acknowledged"),
        pytest.param(None, True, False, id="nothing is known"),
    ],
)
def test_took_nothing(now: Progress | None, peer_closed: bool, expected: bool) -> None:
    assert took_nothing(BEFORE, now, 500, peer_closed=peer_closed) is expected


def test_without_a_beginning_nothing_is_certain() -> None:
    assert not took_nothing(None, Progress(1, 0), 0, peer_closed=True)


def test_what_was_repeated_counts_once() -> None:
    fake = FakeSocket()
    fake.progress = (301, 700, 400)
    assert read_progress(fake) == Progress(301, 300)


def test_where_the_platform_does_not_tell() -> None:
    assert read_progress(FakeSocket()) is None
    assert read_progress(None) is None


class OldKernel(FakeSocket):
    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        return bytes(104)


def test_where_the_kernel_is_too_old_to_tell() -> None:
    assert read_progress(OldKernel()) is None


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux tells")
def test_a_socket_that_is_closed() -> None:
    gone = socket.socket()
    gone.close()
    assert read_progress(gone) is None
