"""Binding: the sockets share a port, and whatever prevents it is said in one line."""

from __future__ import annotations

import socket

import pytest

from gatewright.server.sockets import AddressUnavailable, bind_another, bind_listeners, render_address

pytestmark = pytest.mark.sockets


def test_all_slots_share_one_free_port() -> None:
    sockets = bind_listeners("127.0.0.1:0", 3)
    try:
        assert len({bound.getsockname() for bound in sockets}) == 1
        assert all(bound.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) for bound in sockets)
        assert all(bound.getblocking() is False for bound in sockets)
        with socket.create_connection(sockets[0].getsockname(), timeout=5):
            pass
    finally:
        for bound in sockets:
            bound.close()


def test_another_socket_can_join_those_that_share() -> None:
    sockets = bind_listeners("127.0.0.1:0", 2)
    try:
        sockets.append(bind_another(render_address(sockets[0])))
        assert len({bound.getsockname() for bound in sockets}) == 1
    finally:
        for bound in sockets:
            bound.close()


def test_a_single_socket_does_not_share_its_port() -> None:
    (bound,) = bind_listeners("127.0.0.1:0", 1)
    with bound:
        assert not bound.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("theirs", [1, 2])
def test_a_taken_port_is_refused_even_where_it_could_be_shared(count: int, theirs: int) -> None:
    taken = bind_listeners("127.0.0.1:0", theirs)
    try:
        address = render_address(taken[0])
        with pytest.raises(AddressUnavailable, match=f"cannot listen on {address}: another process listens there"):
            bind_listeners(address, count)
    finally:
        for bound in taken:
            bound.close()


def test_ipv6_is_bound_and_rendered_in_brackets() -> None:
    (bound,) = bind_listeners("[::1]:0", 1)
    with bound:
        assert render_address(bound) == f"[::1]:{bound.getsockname()[1]}"


def test_a_name_prefers_ipv4() -> None:
    (bound,) = bind_listeners("localhost:0", 1)
    with bound:
        assert bound.family == socket.AF_INET
        assert render_address(bound).startswith("127.0.0.1:")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("8080", "write HOST:PORT"),
        ("192.0.2.1:8080", "this machine has no such address"),
        ("no-such-host.invalid:80", "cannot be resolved"),
    ],
)
def test_other_reasons_are_named(address: str, reason: str) -> None:
    with pytest.raises(AddressUnavailable, match=reason) as raised:
        bind_listeners(address, 1)
    assert "\n" not in str(raised.value)
