"""Parts put one after the other, for clients whose wire cannot hold two at once.

OpenAI's chat streams may add to several tool calls in turn; Anthropic's content blocks follow each other. The first
part to begin flows through as it comes; what belongs to later parts waits until it is their turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gatewright.core.events import Delta, Event, Finish, PartBegin, PartEnd

_PART_EVENTS = frozenset(("signature", "citation", "audio_delta"))


class Sequencer:
    """Events in, the same events out, with no part beginning before the one before it has ended."""

    __slots__ = ("_active", "_waiting")

    def __init__(self) -> None:
        self._active: dict[int, int] = {}
        """Choice → the part that flows."""
        self._waiting: dict[int, dict[int, list[Event]]] = {}
        """Choice → part → its events so far, in the order the parts began."""

    def is_flowing(self, choice: int, part: int) -> bool:
        """Whether a delta of this part would come out at once, as it is."""
        return self._active.get(choice) == part

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """The events whose turn has come."""
        out: list[Event] = []
        for event in events:
            kind = type(event)
            if kind is Finish:
                self._flush(event.choice, out)  # type: ignore[union-attr]
                out.append(event)
            elif kind in (Delta, PartBegin, PartEnd) or event.__struct_config__.tag in _PART_EVENTS:
                self._add(event, out)
            else:
                out.append(event)
        return out

    def _add(self, event: Any, out: list[Event]) -> None:
        choice: int = event.choice
        part: int = event.part
        active = self._active.get(choice)
        if active == part:
            out.append(event)
            if type(event) is PartEnd:
                del self._active[choice]
                self._advance(choice, out)
        elif active is None and type(event) is PartBegin:
            self._active[choice] = part
            out.append(event)
        else:
            self._waiting.setdefault(choice, {}).setdefault(part, []).append(event)

    def _advance(self, choice: int, out: list[Event]) -> None:
        """Let the next waiting parts go, up to one that has not ended yet."""
        waiting = self._waiting.get(choice)
        while waiting:
            part = next(iter(waiting))
            events = waiting.pop(part)
            out.extend(events)
            if type(events[-1]) is not PartEnd:
                self._active[choice] = part
                return

    def _flush(self, choice: int, out: list[Event]) -> None:
        """A choice is complete: end what was left open, in order."""
        while choice in self._active:
            out.append(PartEnd(choice, self._active.pop(choice)))
            self._advance(choice, out)
