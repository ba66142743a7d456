"""A chain holds what filters override: phases in their order, answers in reverse, nothing for what nobody uses."""

from typing import Any

from gatewright.core.exchange import Exchange
from gatewright.core.reply import Reply
from gatewright.pipeline.chain import EMPTY_CHAIN, Chain
from gatewright.pipeline.claims import Claims
from gatewright.pipeline.filters import Filter


class Plain(Filter):
    needs_task = False

    def __init__(self, name: str) -> None:
        self.name = name


class Guard(Plain):
    async def on_request(self, x: Exchange) -> Reply | None:
        return None

    def on_response(self, x: Exchange, body: bytes) -> bytes:
        return body + self.name.encode()

    def on_events(self, x: Exchange, events: list[bytes]) -> list[bytes]:
        return events

    def on_settle(self, x: Exchange) -> None:
        return None


class Cache(Plain):
    needs_task = True

    async def on_look_up(self, x: Exchange) -> Reply | None:
        return None


class Door(Plain):
    async def on_authorize(self, x: Exchange) -> Reply | None:
        return None

    def on_reserve(self, x: Exchange) -> Claims | None:
        return None


def names(hooks: tuple[Any, ...]) -> list[str]:
    return [f"{hook.__self__.name}.{hook.__name__}" for hook in hooks]


def test_request_phases_come_in_their_order_then_in_that_of_the_policies() -> None:
    chain = Chain([Cache("c"), Guard("g1"), Door("d"), Guard("g2")])
    assert names(chain.on_authorize) == ["d.on_authorize"]
    assert names(chain.on_reserve) == ["d.on_reserve"]
    assert names(chain.on_request) == ["g1.on_request", "g2.on_request", "c.on_look_up"]


def test_the_answer_passes_in_reverse() -> None:
    chain = Chain([Guard("g1"), Door("d"), Guard("g2")])
    assert names(chain.on_response) == ["g2.on_response", "g1.on_response"]
    assert names(chain.on_events) == ["g2.on_events", "g1.on_events"]
    assert names(chain.on_settle) == ["g2.on_settle", "g1.on_settle"]


def test_a_phase_nobody_uses_is_absent() -> None:
    chain = Chain([Door("d"), Cache("c")])
    assert chain.on_response == chain.on_events == chain.on_settle == ()
    assert EMPTY_CHAIN.on_request == ()
    assert not EMPTY_CHAIN.needs_task


def test_a_task_is_needed_only_by_request_hooks_that_await() -> None:
    assert Chain([Door("d"), Cache("c")]).needs_task
    assert not Chain([Door("d"), Guard("g")]).needs_task

    class Late(Plain):
        needs_task = True

        def on_settle(self, x: Exchange) -> None:
            return None

    assert not Chain([Late("l")]).needs_task
