"""How a stream takes its slices: in time, once at a time, and to the last token of what it holds."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gatewright.core.counting import Refused
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.pipeline.estimates import STREAM_SLICE
from gatewright.pipeline.reserving import StreamMeter, keep_alive

PIECE = 64
AWAY = GatewayError(Kind.OVERLOADED, "nobody can be asked")


class Asked:
    """Counters that answer extensions as they are told, and note how often they were asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.count = 0

    def extend(self, grant: Any, amounts: list[int]) -> Any:
        self.count += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, GatewayError):
            raise answer
        return answer


def build_meter(counters: Asked) -> tuple[Exchange, StreamMeter, Any]:
    x = Exchange("id", None, {}, b"", 0.0)
    x.stream = True
    x.grant = SimpleNamespace(allowances=())  # type: ignore[assignment]
    plan: Any = SimpleNamespace(
        counts_cost=False,
        running=(),
        expires=True,
        amounts=lambda *_, more: [0],
        refusals=[lambda refused: GatewayError(Kind.QUOTA_EXCEEDED, "It is used up.", code="insufficient_quota")],
    )
    x.plan = plan
    ports: Any = SimpleNamespace(counters=counters, spawn=asyncio.ensure_future)
    return x, StreamMeter(x, plan, ports), ports


def bring(x: Exchange, meter: StreamMeter, until: int) -> tuple[int, GatewayError | None]:
    """Let pieces come until so many tokens are there, or an error ends it; gives how many, and the error."""
    while x.text_pieces < until:
        x.text_pieces += PIECE
        x.bytes_out = x.text_looked_at = x.bytes_out + 1
        if (error := meter.on_block()) is not None:
            return int(x.text_pieces), error
    return int(x.text_pieces), None


def test_slice_is_taken_when_half_of_the_last_is_used() -> None:
    counters = Asked(None)
    x, meter, _ = build_meter(counters)
    assert bring(x, meter, STREAM_SLICE // 2) == (STREAM_SLICE // 2, None)
    assert counters.count == 0
    bring(x, meter, STREAM_SLICE // 2 + PIECE)
    assert counters.count == 1
    assert bring(x, meter, 4 * STREAM_SLICE) == (4 * STREAM_SLICE, None)
    assert counters.count == 4


def test_refused_stream_uses_what_it_holds_and_asks_no_more() -> None:
    counters = Asked(Refused(0, 0, float("inf")))
    x, meter, _ = build_meter(counters)
    used, error = bring(x, meter, 4 * STREAM_SLICE)
    assert used == STREAM_SLICE
    assert error is not None
    assert (error.kind, error.code) == (Kind.QUOTA_EXCEEDED, "insufficient_quota")
    assert counters.count == 1


def test_stream_that_can_ask_nobody_uses_what_it_holds() -> None:
    x, meter, _ = build_meter(Asked(AWAY))
    assert bring(x, meter, 4 * STREAM_SLICE) == (STREAM_SLICE, AWAY)


def test_stream_goes_on_when_somebody_can_be_asked_again() -> None:
    x, meter, _ = build_meter(Asked(AWAY, AWAY, None))
    assert bring(x, meter, 2 * STREAM_SLICE) == (2 * STREAM_SLICE, None)


@pytest.mark.parametrize("last", [None, AWAY], ids=["granted", "away"])
def test_stream_waits_for_an_answer_once_at_a_time(last: GatewayError | None) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        counters = Asked(answer, None)
        x, meter, _ = build_meter(counters)
        bring(x, meter, STREAM_SLICE - PIECE)
        assert counters.count == 1
        if last is None:
            answer.set_result(None)
        else:
            answer.set_exception(last)
        for _ in range(3):
            await asyncio.sleep(0)
        # Asked again only where nobody answered.
        assert bring(x, meter, STREAM_SLICE) == (STREAM_SLICE, None)
        assert counters.count == (1 if last is None else 2)

    asyncio.run(run())


def test_reservation_is_kept_alive_as_far_as_somebody_can_be_asked() -> None:
    counters = Asked(AWAY, None)
    x, _, ports = build_meter(counters)
    keep_alive(x, ports)
    keep_alive(x, ports)
    assert counters.count == 2
