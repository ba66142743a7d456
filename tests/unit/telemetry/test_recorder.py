"""A cell per label set, a line per exchange that is JSON whatever it holds, and nothing lost in silence."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gatewright.core.consumer import Consumer
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.core.loss import Feature, LossReport
from gatewright.core.surface import Surface
from gatewright.core.usage import Usage
from gatewright.pipeline.booking import PastAttempt
from gatewright.pipeline.claims import BudgetGroup
from gatewright.telemetry import recorder as module
from gatewright.telemetry.access_line import AccessLine
from gatewright.telemetry.recorder import Recorder
from gatewright.telemetry.records import MAX_DATAGRAM_BYTES, Batch, BudgetState, Cell, Gauges

CHAT = Surface("chat_completions", b"POST", b"/v1/chat/completions", "openai.chat")
_batch = msgspec.msgpack.Decoder(Batch)


class Target:
    provider = "up"
    model = "their-name"


def recorder(*, lines: bool = True) -> Recorder:
    return Recorder(slot=3, pid=42, wall=lambda at_s: b"2026-01-02T03:04:05.%03dZ" % at_s, lines=lines)


def exchange(**members: Any) -> Exchange:
    x = Exchange("req_1", None, {}, b"12345", 10.0)
    x.surface, x.published_model, x.status, x.finished_s = CHAT, "m", 200, 11.0
    for name, value in members.items():
        setattr(x, name, value)
    return x


def taken(it: Recorder) -> list[Batch]:
    return [_batch.decode(datagram) for datagram in it.batches(Gauges())]


def lines_of(batches: list[Batch]) -> list[AccessLine]:
    text = b"".join(batch.lines for batch in batches)
    return [msgspec.json.decode(line, type=AccessLine) for line in text.splitlines()]


def test_there_is_always_a_batch_for_the_gauges() -> None:
    it = recorder()
    gauges = Gauges(connections=1, requests_in_flight=2, snapshot_version=9)
    (datagram,) = it.batches(gauges)
    assert _batch.decode(datagram) == Batch(3, 42, gauges)


def test_exchanges_with_the_same_labels_share_a_cell() -> None:
    it = recorder()
    usage = Usage(input_total=10, input_cached_read=4, output_total=6, output_reasoning=2)
    first = exchange(target=Target(), usage=usage, attempts=2, bytes_out=7, first_byte_s=10.2, upstream_s=0.15)
    it.record(first)
    it.record(exchange(target=Target(), usage=usage, attempts=1))
    it.record(exchange(error=GatewayError(Kind.RATE_LIMITED, "no"), status=429))
    cells = [cell for batch in taken(it) for cell in batch.cells]
    assert len(cells) == 2
    cell = cells[0]
    assert (cell.exchanges, cell.attempts, cell.bytes_in, cell.bytes_out) == (2, 3, 10, 7)
    assert (cell.input_tokens, cell.cached_input_tokens, cell.output_tokens, cell.reasoning_tokens) == (20, 8, 12, 4)
    assert cell.duration_sum_s == pytest.approx(2.0)
    assert sum(cell.duration_counts) == 2
    assert cell.first_byte_sum_s == pytest.approx(0.2)
    assert sum(cell.first_byte_counts) == 1
    assert cell.overhead_sum_s == pytest.approx(0.05 + 1.0)
    assert (cell.labels.provider, cell.labels.upstream_model) == ("up", "their-name")
    assert (cells[1].labels.kind, cells[1].labels.status) == ("rate_limited", 429)
    assert all(not batch.cells for batch in taken(it)), "a batch holds what is new"


def test_a_line_says_what_applies_and_nothing_else() -> None:
    it = recorder()
    it.record(exchange())
    (batch, _) = taken(it)
    assert msgspec.json.decode(batch.lines) == {
        "time": "2026-01-02T03:04:05.011Z",
        "id": "req_1",
        "consumer": "anonymous",
        "surface": "chat_completions",
        "model": "m",
        "status": 200,
        "total_ms": 1000.0,
        "gateway_ms": 1000.0,
        "attempts": 0,
        "bytes_in": 5,
        "bytes_out": 0,
    }


@pytest.mark.parametrize(
    ("usage", "members"),
    [
        (Usage(audio_s=37.5), {"audio_s": 37.5}),
        (Usage(search_units=2.0), {"search_units": 2.0}),
        (Usage(audio_s=0.0), {"audio_s": 0.0}),
        (Usage(images=2), {"images": 2}),
        (Usage(images=0), {"images": 0}),
        (Usage(characters=9), {"characters": 9}),
        (Usage(input_total=7, web_searches=2), {"input_tokens": 7, "output_tokens": 0, "web_searches": 2}),
        (Usage(), {"input_tokens": 0, "output_tokens": 0}),
        (Usage(uncounted=True), {}),
        (Usage(input_total=7, uncounted=True), {"input_tokens": 7, "output_tokens": 0}),
        (Usage(output_total=3, audio_s=1.0), {"input_tokens": 0, "output_tokens": 3, "audio_s": 1.0}),
        (Usage(input_total=7, search_units=1.0), {"input_tokens": 7, "output_tokens": 0, "search_units": 1.0}),
    ],
)
def test_what_is_counted_otherwise_is_not_called_no_tokens(usage: Usage, members: dict[str, float]) -> None:
    it = recorder()
    it.record(exchange(usage=usage))
    (line,) = b"".join(batch.lines for batch in taken(it)).splitlines()
    names = (
        "input_tokens",
        "output_tokens",
        "audio_s",
        "search_units",
        "images",
        "characters",
        "web_searches",
    )
    assert {name: value for name, value in msgspec.json.decode(line).items() if name in names} == members


def test_a_line_of_a_failure_has_its_kind_source_and_cause() -> None:
    it = recorder()
    error = GatewayError(Kind.UPSTREAM_RESET, 'said "no"\n', cause=OSError("gone"))
    it.record(exchange(error=error, status=502, first_byte_s=10.5, stream=True))
    (line,) = lines_of(taken(it))
    assert (line.kind, line.source, line.message, line.cause) == (
        "upstream_reset",
        "upstream",
        'said "no"\n',
        "OSError('gone')",
    )
    assert line.stream
    assert line.first_byte_ms == 500.0


NAMES = st.text(min_size=1, max_size=20)


@given(NAMES, NAMES, st.text(max_size=200), st.one_of(st.none(), st.text(max_size=50)))
def test_every_line_is_json_and_one_line(consumer: str, model: str, message: str, cause: str | None) -> None:
    it = recorder()
    error = GatewayError(Kind.UPSTREAM_FAILED, message, cause=None if cause is None else ValueError(cause))
    it.record(exchange(consumer=Consumer(consumer), published_model=model, error=error))
    text = b"".join(batch.lines for batch in taken(it))
    assert text.count(b"\n") == 1
    line = msgspec.json.decode(text, type=AccessLine)
    assert (line.consumer, line.model, line.message) == (consumer, model, message)


def test_a_line_tells_what_a_translation_lost() -> None:
    it = recorder()
    report = LossReport()
    for _ in range(2):
        report.dropped(Feature.SEED, "sampling.seed", "the API has none")
    report.approximated(Feature.TOP_K, "sampling.top_k", "x" * 10_000)
    it.record(exchange(losses=report))
    it.record(exchange(losses=LossReport()))
    first, second = lines_of(taken(it))
    assert first.losses[0] == "sampling.seed: dropped (the API has none)"
    assert len(first.losses) == 2
    assert len(first.losses[1]) < 5_000
    assert second.losses == []


def test_what_an_exchange_cost_is_added_up_exactly() -> None:
    it = recorder()
    usage = Usage(input_total=1)
    it.record(exchange(usage=usage, cost_femto_usd=123_456_789_500_000))
    it.record(exchange(usage=usage, cost_femto_usd=1_000_000_000_000_000))
    it.record(exchange(usage=usage))
    it.record(exchange())
    batches = taken(it)
    (cell,) = [cell for batch in batches for cell in batch.cells]
    assert (cell.cost_pico_usd, cell.unpriced) == (1_123_456_789_500, 1)
    assert [line.cost_usd for line in lines_of(batches)] == [0.12345679, 1.0, None, None]


def test_lines_can_be_left_out() -> None:
    it = recorder(lines=False)
    it.record(exchange())
    (batch,) = taken(it)
    assert batch.lines == b""
    assert batch.cells[0].exchanges == 1


def test_many_lines_and_cells_are_split_over_datagrams() -> None:
    it = recorder()
    for number in range(1_500):
        it.record(exchange(id=f"req_{number}", published_model=f"m{number % 250}"))
    datagrams = it.batches(Gauges())
    assert all(len(datagram) <= MAX_DATAGRAM_BYTES + 1_024 for datagram in datagrams)
    batches = [_batch.decode(datagram) for datagram in datagrams]
    assert [line.id for line in lines_of(batches)] == [f"req_{number}" for number in range(1_500)]
    cells = [cell for batch in batches for cell in batch.cells]
    assert len(cells) == 250
    assert sum(cell.exchanges for cell in cells) == 1_500


def test_a_message_of_any_size_fits_into_a_datagram() -> None:
    it = recorder()
    huge = GatewayError(Kind.UPSTREAM_FAILED, "é" * 1_000_000, cause=ValueError("x" * 1_000_000))
    it.record(exchange(error=huge))
    datagrams = it.batches(Gauges())
    assert max(map(len, datagrams)) <= MAX_DATAGRAM_BYTES
    (line,) = lines_of([_batch.decode(datagram) for datagram in datagrams])
    assert line.kind == "upstream_failed"
    assert line.message.startswith("éééé")


def test_what_could_not_be_sent_is_merged_again() -> None:
    it, other = recorder(), recorder()
    for number in range(300):
        for which in (it, other):
            which.record(exchange(published_model=f"m{number % 120}", usage=Usage(input_total=3)))
    unsent = it.batches(Gauges())
    it.record(exchange(published_model="m0"))
    other.record(exchange(published_model="m0"))
    it.put_back(unsent)

    def by_model(batches: list[Batch]) -> dict[str, Cell]:
        return {cell.labels.model: cell for batch in batches for cell in batch.cells}

    mine, theirs = taken(it), taken(other)
    assert by_model(mine) == by_model(theirs)
    assert len(lines_of(mine)) == len(lines_of(theirs)) == 301


def test_lines_beyond_the_backlog_are_counted_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_BACKLOG_BYTES", 1_000)
    it = recorder()
    for _ in range(50):
        it.record(exchange())
    batches = taken(it)
    kept = len(lines_of(batches))
    assert 0 < kept < 50
    assert sum(batch.lost_lines for batch in batches) == 50 - kept
    assert sum(cell.exchanges for batch in batches for cell in batch.cells) == 50
    assert [batch.lost_lines for batch in taken(it)] == [0]


def test_losses_are_not_lost_when_the_batch_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_BACKLOG_BYTES", 1_000)
    it = recorder()
    for _ in range(50):
        it.record(exchange())
    it.put_back(it.batches(Gauges()))
    batches = taken(it)
    assert sum(batch.lost_lines for batch in batches) + len(lines_of(batches)) == 50


def test_too_many_label_sets_are_counted_without_their_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_CELLS", 10)
    it = recorder(lines=False)
    for number in range(100):
        it.record(exchange(published_model=f"m{number}", target=Target()))
    cells = {cell.labels.model: cell for batch in taken(it) for cell in batch.cells}
    assert len(cells) == 11
    assert cells[""].exchanges == 90
    assert cells[""].labels.upstream_model == ""


def test_attempts_that_lost_are_counted_where_they_were_made() -> None:
    it = recorder()

    class Loser(Target):
        provider = "first"

    lost = PastAttempt(Loser, "upstream_cut", Usage(input_total=9, output_total=1), 0.1)  # type: ignore[arg-type]
    lost.cost_femto_usd, lost.price_version = 3_000_000, "v"
    silent = PastAttempt(Loser, "upstream_timeout", None, 0.1)  # type: ignore[arg-type]
    usage = Usage(input_total=8, output_total=5)
    it.record(exchange(target=Target(), usage=usage, cost_femto_usd=2_000_000, attempts=3, past=[lost, silent]))
    batches = taken(it)
    cells = {cell.labels.provider: cell for batch in batches for cell in batch.cells}
    told = {
        name: (cell.exchanges, cell.attempts, cell.input_tokens, cell.cost_pico_usd) for name, cell in cells.items()
    }
    assert told == {"up": (1, 1, 8, 2_000), "first": (0, 2, 9, 3_000)}
    (line,) = lines_of(batches)
    assert (line.input_tokens, line.output_tokens, line.attempts) == (17, 6, 3)
    assert line.cost_usd == pytest.approx(5e-9)


def test_budgets_are_asked_for_after_their_use_and_once_again() -> None:
    it = recorder()
    one, other = (BudgetGroup("monthly", f"acme/{name}", "2026-11", 2e9, 1_000) for name in "ab")
    dry = replace(other, is_dry=True)
    refusal = GatewayError(Kind.QUOTA_EXCEEDED, "no more")
    refusal.budget = dry
    for _ in range(2):
        it.record(exchange(target=Target(), budgets=(one,)))
    it.record(exchange(error=refusal))
    assert set(it.used_budgets()) == {one, dry}
    it.record(exchange(target=Target(), budgets=(other,)))
    asked = it.used_budgets()
    assert (len(asked), set(asked)) == (3, {one, dry, other})
    it.note_spent([one, dry, other], None)
    assert not [state for batch in taken(it) for state in batch.budgets]
    asked = it.used_budgets()
    assert set(asked) == {one, dry, other}, "nobody could be asked"
    it.note_spent(asked, range(3))
    states = {(state.who, state.is_dry): state.used_nano for batch in taken(it) for state in batch.budgets}
    assert states == {(group.who, group.is_dry): used for used, group in enumerate(asked)}
    it.used_budgets()
    assert it.used_budgets() == []


def test_while_nobody_can_be_asked_some_budgets_are_kept_in_mind() -> None:
    it = recorder()
    for number in range(3_000):
        it.note_spent([BudgetGroup("monthly", f"acme/{number}", "2026-11", 2e9, 1_000)], None)
    assert len(it.used_budgets()) == 1_000


def test_budgets_that_could_not_be_sent_are_sent_again() -> None:
    it = recorder()
    group = BudgetGroup("monthly", "acme/a", "2026-11", 2e9, 1_000)
    it.note_spent([group], [700])
    it.put_back(it.batches(Gauges()))
    it.note_spent([group], [900])
    states = [state for batch in taken(it) for state in batch.budgets]
    assert states == [BudgetState("monthly", "acme/a", "2026-11", 2e9, 1_000, 900)]
    it.put_back(it.batches(Gauges()))
    assert not [state for batch in taken(it) for state in batch.budgets], "they are told once"
