"""Only configured origins are told that they may; everything else gets no word about it."""

import pytest

from gatewright.config.documents import Cors
from gatewright.server.cors import CorsPolicy
from gatewright.wire.request import Request

PAGE = b"https://chat.example.com"


def preflight(**headers: bytes) -> Request:
    sent = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return Request(b"OPTIONS", b"/v1/models", b"", sent, b"", True, False)


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ([PAGE.decode()], PAGE, True),
        ([PAGE.decode()], b"https://chat.example.com.evil.test", False),
        ([PAGE.decode()], b"http://chat.example.com", False),
        ([PAGE.decode()], b"null", False),
        (["*"], b"https://any.test", True),
        ([], PAGE, False),
    ],
)
def test_who_may_read_answers(origins: list[str], origin: bytes, allowed: bool) -> None:
    lines = CorsPolicy(Cors(origins=origins)).answer_headers(origin)
    assert bool(lines) is allowed
    if allowed:
        assert b"access-control-allow-origin: " + origin + b"\r\n" in lines
        assert b"vary: origin\r\n" in lines
        assert b"x-request-id" in lines


def test_a_preflight_is_told_what_it_may_send() -> None:
    policy = CorsPolicy(Cors(origins=[PAGE.decode()], max_age_s=60))
    lines = policy.preflight_headers(
        preflight(origin=PAGE, access_control_request_method=b"POST", access_control_request_headers=b"x-a, x-b")
    )
    assert lines is not None
    assert b"access-control-allow-methods: GET, POST\r\n" in lines
    assert b"access-control-allow-headers: x-a, x-b\r\n" in lines
    assert b"access-control-max-age: 60\r\n" in lines
    usual = policy.preflight_headers(preflight(origin=PAGE, access_control_request_method=b"GET"))
    assert usual is not None
    assert b"access-control-allow-headers: authorization, content-type\r\n" in usual


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": PAGE},
        {"access_control_request_method": b"POST"},
        {"origin": PAGE, "access_control_request_method": b"DELETE"},
        {"origin": b"https://evil.test", "access_control_request_method": b"POST"},
    ],
)
def test_what_is_no_allowed_preflight(headers: dict[str, bytes]) -> None:
    assert CorsPolicy(Cors(origins=[PAGE.decode()])).preflight_headers(preflight(**headers)) is None
