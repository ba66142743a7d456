"""A worker's own small parts; its life is in tests/dataplane."""

import os
import re
import time
from pathlib import Path

import pytest

from gatewright.config.documents import Tls
from gatewright.server.worker import WallClock, _newest, parse_options


def test_the_wall_clock_reads_as_the_systems_does_and_never_back() -> None:
    clock = WallClock()
    now = time.monotonic()
    seen = [clock(now + number * 0.0371) for number in range(200)]
    assert all(re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text) for text in seen)
    assert seen == sorted(seen)
    assert clock(now)[:14] == time.strftime("%Y-%m-%dT%H:", time.gmtime()).encode()


def test_the_newest_of_the_certificates_files_counts(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    tls = Tls(certificate=str(certificate), key=str(key))
    assert _newest(tls) == 0.0
    for path, at in ((certificate, 100), (key, 200)):
        path.write_text("x")
        os.utime(path, (at, at))
    assert _newest(tls) == 200.0


def test_its_options_are_the_supervisors() -> None:
    options = parse_options(
        ["--slot", "2", "--workers", "4", "--listen-fd", "5", "--channel-fd", "6", "--telemetry-fd", "7"]
    )
    assert (options.slot, options.workers, options.listen_fd, options.channel_fd, options.telemetry_fd) == (
        2,
        4,
        5,
        6,
        7,
    )
    with pytest.raises(SystemExit):
        parse_options([])
