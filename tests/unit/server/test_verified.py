"""The memory of credentials that were looked at already."""

from __future__ import annotations

import pytest

from gatewright.core.consumer import Consumer
from gatewright.core.errors import GatewayError, Kind
from gatewright.server import verified as verified_module
from gatewright.server.verified import REFUSED_S, Verified


def consumer(name: str = "a", until: float = 100.0, issuer: str = "corp") -> Consumer:
    return Consumer(f"acme/x/{name}", "jwt:corp", issuer, None, {}, until)


def test_a_consumer_is_remembered_until_it_ends() -> None:
    memory = Verified()
    assert memory.find(b"t", 0.0) is None
    memory.keep(b"t", consumer())
    assert memory.find(b"t", 99.9) == consumer()
    assert memory.find(b"u", 0.0) is None
    assert memory.find(b"t", 100.0) is None
    assert memory.find(b"t", 0.0) is None


def test_a_refusal_is_remembered_for_a_moment_and_raised_anew() -> None:
    memory = Verified()
    error = GatewayError(Kind.UNAUTHENTICATED, "not valid", headers=((b"www-authenticate", b"Bearer"),))
    memory.keep_refusal(b"t", error, 10.0)
    raised = []
    for _ in range(2):
        with pytest.raises(GatewayError, match="not valid") as refusal:
            memory.find(b"t", 10.0 + REFUSED_S - 0.1)
        raised.append(refusal.value)
    assert len({id(each) for each in (*raised, error)}) == 3
    assert raised[0].headers == error.headers
    assert memory.find(b"t", 10.0 + REFUSED_S) is None


def test_it_is_bounded_and_rubbish_drives_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified_module, "MAX_VERIFIED", 3)
    monkeypatch.setattr(verified_module, "MAX_REFUSED", 2)
    memory = Verified()
    for name in "abcd":
        memory.keep(name.encode(), consumer(name))
    for name in "uvwxyz":
        memory.keep_refusal(name.encode(), GatewayError(Kind.UNAUTHENTICATED, name), 0.0)
    assert [name for name in "abcd" if memory.find(name.encode(), 0.0)] == ["b", "c", "d"]
    for name in "uvwx":
        assert memory.find(name.encode(), 0.0) is None
    for name in "yz":
        with pytest.raises(GatewayError):
            memory.find(name.encode(), 0.0)


def test_forgetting_an_issuer() -> None:
    memory = Verified()
    memory.keep(b"a", consumer())
    memory.keep(b"b", consumer(issuer="other"))
    memory.keep_refusal(b"c", GatewayError(Kind.UNAUTHENTICATED, "c"), 0.0)
    memory.forget("corp")
    assert memory.find(b"a", 0.0) is None
    assert memory.find(b"b", 0.0)
    assert memory.find(b"c", 0.0) is None
