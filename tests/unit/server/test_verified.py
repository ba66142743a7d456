"""The memory of credentials that were looked at already."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from hashlib import sha256

import msgspec
import pytest
from tests.signing import claims

from gatewright.core.consumer import Consumer
from gatewright.core.errors import GatewayError, Kind
from gatewright.server import verified as verified_module
from gatewright.server.verified import REFUSED_S, Memory, Verified


def consumer(name: str = "a", until: float = 100.0, issuer: str = "corp") -> Consumer:
    return Consumer(f"acme/x/{name}", "jwt:corp", issuer, None, {}, until)


def test_a_consumer_is_remembered_until_it_ends() -> None:
    memory = Verified()
    assert memory.find(b"t", 0.0) is None
    memory.keep(b"t", consumer(), 0.0)
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


def test_a_refusal_holds_nothing_of_what_was_refused() -> None:
    class Decoded:
        """What somebody sent."""

    seen: list[weakref.ref[Decoded]] = []

    def judge() -> None:
        decoded = Decoded()
        seen.append(weakref.ref(decoded))
        raise GatewayError(Kind.UNAUTHENTICATED, "not valid", cause=ValueError(decoded))

    memory = Verified()
    try:
        judge()
    except GatewayError as error:
        memory.keep_refusal(b"t", error, 0.0)
    gc.collect()
    assert seen[0]() is None
    with pytest.raises(GatewayError, match="not valid"):
        memory.find(b"t", 0.0)


def test_it_is_bounded_and_rubbish_drives_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified_module, "MAX_HELD_BYTES", 1_999)
    monkeypatch.setattr(verified_module, "MAX_REFUSED", 2)
    memory = Verified()
    for name in "abcd":
        memory.keep(name.encode(), consumer(name), 0.0)
    for name in "uvwxyz":
        memory.keep_refusal(name.encode(), GatewayError(Kind.UNAUTHENTICATED, name), 0.0)
    kept = [name for name in "abcd" if memory.find(name.encode(), 0.0)]
    assert len(kept) == 3
    assert kept[-1] == "d"
    for name in "uvwx":
        assert memory.find(name.encode(), 0.0) is None
    for name in "yz":
        with pytest.raises(GatewayError):
            memory.find(name.encode(), 0.0)


def test_refusals_that_have_ended_go() -> None:
    memory = Verified()
    for second in range(100):
        memory.keep_refusal(b"%d" % second, GatewayError(Kind.UNAUTHENTICATED, ""), float(second))
    assert len(memory._refusals) == REFUSED_S


def test_forgetting_an_issuer() -> None:
    memory = Verified()
    memory.keep(b"a", consumer(), 0.0)
    memory.keep(b"b", consumer(issuer="other"), 0.0)
    memory.keep_refusal(b"c", GatewayError(Kind.UNAUTHENTICATED, "c"), 0.0)
    memory.forget("corp")
    assert memory.find(b"a", 0.0) is None
    assert memory.find(b"b", 0.0)
    assert memory.find(b"c", 0.0) is None


# -- space ------------------------------------------------------------------------------------------------------------


def test_what_says_more_takes_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified_module, "MAX_HELD_BYTES", 40_000)
    memory: Memory[int] = Memory()
    for number in range(40):
        memory.keep(b"%d" % number, number, 100.0, 40, 0.0)
    assert (len(memory), memory.held_bytes) == (40, 40 * 600)
    memory.keep(b"large", 40, 100.0, 10_000, 0.0)
    assert memory.get(b"large") is not None
    assert len(memory) == 1 + (40_000 - 25_500) // 600
    assert memory.held_bytes <= 40_000
    memory.keep(b"large", 41, 100.0, 40, 0.0)
    assert memory.held_bytes == len(memory) * 600, "what is kept again is counted once"
    memory.clear()
    assert (len(memory), memory.held_bytes, memory.get(b"large")) == (0, 0, None)


def test_an_answer_counts_by_its_own_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified_module, "MAX_HELD_BYTES", 50_000)
    memory = Verified()
    for name in "abc":
        memory.keep(name.encode(), consumer(name), 0.0, answer_bytes=8_000)
    assert [name for name in "abc" if memory.find(name.encode(), 0.0)] == ["b", "c"]


def test_what_ends_at_once_is_not_kept() -> None:
    """Introspection with `cache_s: 0`."""
    memory = Verified()
    memory.keep(b"t", consumer(until=5.0), 5.0)
    assert memory.find(b"t", 4.0) is None
    memory.keep(b"u", consumer(until=6.0), 5.0)
    memory.keep(b"u", consumer(until=7.0), 7.0)
    assert memory.find(b"u", 5.5) is None


def test_what_has_ended_is_dropped_in_passing() -> None:
    memory: Memory[int] = Memory()
    memory.keep(b"long", -1, 10_000.0, 100, 0.0)
    for second in range(1_000):
        memory.keep(b"%d" % second, second, second + 10.0, 100, float(second))
        assert len(memory) <= 2 * 10 + 2
    assert memory.get(b"long") is not None


@pytest.mark.parametrize("groups", [0, 5, 50, 200])
def test_what_is_reckoned_is_about_what_is_taken(groups: int) -> None:
    sent = [
        msgspec.json.encode(
            claims(groups=[f"department-{each:03d}-{number}" for each in range(groups)], jti=str(number))
        )
        for number in range(100)
    ]
    memory: Memory[Consumer] = Memory()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number, body in enumerate(sent):
            found = Consumer("acme/x/y", "jwt:corp", "corp", None, msgspec.json.decode(body), 100.0 + number)
            # Its header, its signature, and base64.
            memory.keep(sha256(body).digest(), found, found.expires_at, 400 + len(body) * 4 // 3, 0.0)
        del found
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.4 * memory.held_bytes < taken < 1.2 * memory.held_bytes
