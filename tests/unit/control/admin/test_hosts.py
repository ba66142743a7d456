"""Hosts: numbers and known names are answered, names that anybody could point here are not."""

from __future__ import annotations

import pytest

from gatewright.control.admin.hosts import AllowedHosts


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8081",
        "10.1.2.3:80",
        "[::1]",
        "[::1]:8081",
        "[2001:db8::1]:1",
        "localhost",
        "LOCALHOST:8081",
        "localhost.",
        "gateway.localhost",
        "admin.example.com",
        "Admin.Example.COM.:443",
    ],
)
def test_allowed(host: str) -> None:
    assert AllowedHosts(["admin.example.com"]).is_allowed(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8081",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1:8081@evil.example",
        "evil.example#127.0.0.1",
        "sub.admin.example.com",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "[evil.example]",
        "[::1",
        "::1",
        "localhost:",
        "localhost:99999999",
        "localhost, evil.example",
        "localhost\x00",
        " localhost",
        "locаlhost",
    ],
)
def test_refused(host: str) -> None:
    assert not AllowedHosts(["admin.example.com"]).is_allowed(host)
