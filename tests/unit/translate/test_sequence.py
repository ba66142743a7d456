"""Parts that overlap come out one after the other, and nothing is lost, doubled or put out of order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.core.chat import Text, ToolCall
from gatewright.core.events import Delta, Event, Finish, LogprobsDelta, PartBegin, PartEnd, Start, fold
from gatewright.translate.sequence import Sequencer


def call(part: int, name: str = "f") -> PartBegin:
    return PartBegin(0, part, ToolCall(id=f"c{part}", name=name, arguments=""))


def test_what_is_in_order_flows_through_at_once() -> None:
    sequencer = Sequencer()
    begin = PartBegin(0, 0, Text(text=""))
    events: list[Event] = [Start(id="i", model="m"), begin, Delta(0, 0, "a"), PartEnd(0, 0), call(1)]
    for event in events:
        assert sequencer.feed([event]) == [event]


def test_later_parts_wait_for_their_turn() -> None:
    sequencer = Sequencer()
    assert sequencer.feed([call(0), call(1), Delta(0, 1, "b"), Delta(0, 0, "a")]) == [call(0), Delta(0, 0, "a")]
    assert sequencer.feed([PartEnd(0, 1)]) == []
    assert sequencer.feed([PartEnd(0, 0)]) == [PartEnd(0, 0), call(1), Delta(0, 1, "b"), PartEnd(0, 1)]


def test_a_waiting_part_that_has_not_ended_flows_from_then_on() -> None:
    sequencer = Sequencer()
    sequencer.feed([call(0), call(1), call(2), PartEnd(0, 2)])
    assert sequencer.feed([PartEnd(0, 0)]) == [PartEnd(0, 0), call(1)]
    assert sequencer.feed([Delta(0, 1, "x")]) == [Delta(0, 1, "x")]
    assert sequencer.feed([PartEnd(0, 1)]) == [PartEnd(0, 1), call(2), PartEnd(0, 2)]


def test_what_flows_is_known() -> None:
    sequencer = Sequencer()
    assert not sequencer.is_flowing(0, 0)
    sequencer.feed([call(0), call(1)])
    assert sequencer.is_flowing(0, 0)
    assert not sequencer.is_flowing(0, 1)
    sequencer.feed([PartEnd(0, 0)])
    assert sequencer.is_flowing(0, 1)


def test_a_finish_ends_what_was_left_open() -> None:
    sequencer = Sequencer()
    sequencer.feed([call(0), call(1), Delta(0, 1, "b")])
    finish = Finish(reason="tool_calls")
    assert sequencer.feed([finish]) == [PartEnd(0, 0), call(1), Delta(0, 1, "b"), PartEnd(0, 1), finish]


def test_choices_do_not_wait_for_each_other() -> None:
    sequencer = Sequencer()
    begun: list[Event] = [PartBegin(0, 0, Text(text="")), PartBegin(1, 0, Text(text="")), LogprobsDelta(1, ())]
    assert sequencer.feed(begun) == begun


@st.composite
def overlapping(draw: st.DrawFn) -> list[Event]:
    """Some tool calls whose deltas and ends are mixed."""
    parts = draw(st.integers(1, 4))
    pending: dict[int, list[Event]] = {}
    for part in range(parts):
        deltas = draw(st.lists(st.text(max_size=3), max_size=3))
        pending[part] = [call(part), *(Delta(0, part, text) for text in deltas), PartEnd(0, part)]
    events: list[Event] = [pending[0].pop(0)]
    begun = 1
    while any(pending.values()):
        ready = [part for part in range(parts) if pending[part] and part <= begun]
        part = draw(st.sampled_from(ready))
        events.append(pending[part].pop(0))
        begun = max(begun, part + 1)
    return [*events, Finish(reason="tool_calls")]


@given(overlapping(), st.integers(1, 7))
@settings(deadline=None, max_examples=200)
def test_the_fold_stays_and_no_parts_overlap(events: list[Event], size: int) -> None:
    sequencer = Sequencer()
    out = [event for at in range(0, len(events), size) for event in sequencer.feed(events[at : at + size])]
    assert fold(out) == fold(events)
    assert sorted(map(repr, out)) == sorted(map(repr, events))
    active: int | None = None
    for event in out:
        if isinstance(event, PartBegin):
            assert active is None
            active = event.part
        elif isinstance(event, Delta | PartEnd):
            assert event.part == active
            active = None if isinstance(event, PartEnd) else active
