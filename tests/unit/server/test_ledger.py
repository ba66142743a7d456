"""A settled exchange into the journal, and what the worker says of its disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatewright.config.ledger import Ledger
from gatewright.core.consumer import Consumer
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.core.ledger import Entry
from gatewright.core.surface import Surface
from gatewright.core.usage import Usage
from gatewright.server.ledger import JournalLedger
from gatewright.store.journal import Journal
from gatewright.store.journal_reader import JournalReader
from gatewright.testing.clock import FakeClock

WALL = 1_700_000_000.0


class Target:
    provider, model = "up", "their-name"

    class upstream:
        type = "openai"


class World:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now, self.wall = FakeClock(50.0), FakeClock(WALL)
        self.reports: list[str] = []
        self.journal = Journal(directory, "j", Ledger())
        self.ledger = JournalLedger(self.journal, self.now, self.wall, self.reports.append)

    def entries(self) -> list[Entry]:
        return JournalReader(self.directory / "j").read(100)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.ledger.close()


def exchange(**members: Any) -> Exchange:
    x = Exchange("req_1", None, {}, b"{}", 52.0)
    x.finished_s = 53.5
    for name, value in members.items():
        setattr(x, name, value)
    return x


def test_an_entry_says_what_the_exchange_came_to(world: World) -> None:
    x = exchange(
        consumer=Consumer("acme/a", key_id="gw-1"),
        user="anna",
        surface=Surface("chat_completions", b"POST", b"/v1/chat/completions", "openai.chat"),
        published_model="m",
        requested_model="M",
        status=200,
        stream=True,
        first_byte_s=52.25,
        target=Target(),
        attempts=1,
        usage=Usage(input_total=9, output_total=5),
        cost_femto_usd=59_000_000_000,
        price_version="v1",
    )
    world.ledger.book(x)
    (entry,) = world.entries()
    assert (entry.id, entry.consumer, entry.user, entry.key_id) == ("req_1", "acme/a", "anna", "gw-1")
    assert (entry.surface, entry.model, entry.requested_model) == ("chat_completions", "m", "M")
    assert (entry.status, entry.kind, entry.is_stream) == (200, "", True)
    assert entry.started_at_us == int((WALL + 2.0) * 1e6)
    assert (entry.duration_us, entry.first_byte_us) == (1_500_000, 250_000)
    (attempt,) = entry.attempts
    assert attempt.tokens is not None
    assert (attempt.provider, attempt.tokens.input_total, attempt.cost_femto_usd) == ("up", 9, 59_000_000_000)


def test_failures_are_entries_too(world: World) -> None:
    world.ledger.book(exchange(error=GatewayError(Kind.UPSTREAM_TIMEOUT, "slow"), status=504))
    (entry,) = world.entries()
    assert (entry.kind, entry.surface, entry.first_byte_us, list(entry.attempts)) == ("upstream_timeout", "", 0, [])


def test_times_follow_a_clock_that_is_set(world: World) -> None:
    world.wall.advance(3_600.0)
    world.ledger.tick()
    world.ledger.book(exchange())
    assert world.entries()[0].started_at_us == int((WALL + 3_602.0) * 1e6)


def test_new_exchanges_are_refused_where_nothing_can_be_kept(world: World) -> None:
    world.ledger.check_room()
    world.journal.accepts = False
    with pytest.raises(GatewayError) as refused:
        world.ledger.check_room()
    assert refused.value.kind is Kind.OVERLOADED
    assert refused.value.retry_after_s


def test_what_is_wrong_with_the_disk_is_told_once_a_second_at_most(world: World) -> None:
    world.ledger.tick()
    assert world.reports == []
    world.journal.failure = "No space left on device"
    for lost in (0, 1, 2):
        world.journal.lost = lost
        world.ledger._tell()
    assert len(world.reports) == 1
    assert world.ledger.lost == 2
    world.now.advance(1.0)
    world.ledger._tell()
    world.now.advance(1.0)
    world.journal.failure = ""
    world.ledger._tell()
    assert "2 are lost" in world.reports[1]
    assert "continued" in world.reports[2]
