"""The hub's answer: a stream of events, and the complete response that is their fold.

Grammar of a stream: `Start`, then per choice any number of parts — `PartBegin`, deltas, `PartEnd` — then `Finish`;
`UsageReport` anywhere (each replaces the one before; decoders merge what their wire spreads over several events);
`Failure` ends everything. Parts of a choice are numbered from 0 in the order they begin. They may overlap when the wire
lets them (parallel tool calls by index); who cannot write that uses `translate.sequence`. A decoder ends a part as soon
as it knows it is complete, at the latest before `Finish`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec
from msgspec import Struct

from gatewright.core.chat import Audio, Citation, Extension, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from gatewright.core.errors import Kind
from gatewright.core.usage import Usage

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "pause", "error"]
"""`pause`: the provider interrupted a long turn; sending the conversation back continues it."""


class TokenLogprob(Struct, frozen=True, gc=False):
    """How likely one token of the answer was."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top: tuple[TokenLogprob, ...] = ()


class Start(Struct, frozen=True, kw_only=True, tag="start"):
    """The answer begins."""

    id: str
    model: str
    """As the upstream calls it; whoever writes it to a client puts the published name in its place."""
    created: int | None = None
    """Unix seconds."""
    extra: Extension | None = None


class PartBegin(Struct, frozen=True, tag="part_begin"):
    """A part begins; `content` is what is known of it, with its text or arguments empty or begun."""

    choice: int
    part: int
    content: Part


class Delta(Struct, frozen=True, gc=False, tag="delta"):
    """More of a part's main string: text, thoughts, words of refusal, or JSON text of a call's arguments."""

    choice: int
    part: int
    text: str


class SignatureDelta(Struct, frozen=True, tag="signature"):
    """The signature of a part, or more of it."""

    choice: int
    part: int
    signature: Opaque


class CitationDelta(Struct, frozen=True, tag="citation"):
    """One more citation of a text part."""

    choice: int
    part: int
    citation: Citation


class AudioDelta(Struct, frozen=True, tag="audio_delta"):
    """More sound (base64 that can be appended) and more of its transcript."""

    choice: int
    part: int
    data: str = ""
    transcript: str = ""


class PartEnd(Struct, frozen=True, tag="part_end"):
    """A part is complete. `extra` adds to the part's own what the dialect told only now."""

    choice: int
    part: int
    extra: Extension | None = None


class LogprobsDelta(Struct, frozen=True, tag="logprobs"):
    """Log probabilities of the next tokens."""

    choice: int
    tokens: tuple[TokenLogprob, ...]
    is_refusal: bool = False


class Finish(Struct, frozen=True, kw_only=True, tag="finish"):
    """One choice is complete."""

    choice: int = 0
    reason: FinishReason
    native: str | None = None
    """The dialect's own word, for the same dialect on the other side and for the log."""
    dialect: str | None = None
    """Whose word `native` is."""
    stop_sequence: str | None = None
    """The stop sequence that was met."""
    extra: Extension | None = None


class UsageReport(Struct, frozen=True, kw_only=True, tag="usage"):
    """What was used so far, in normal form."""

    usage: Usage
    extra: Extension | None = None


class Failure(Struct, frozen=True, kw_only=True, tag="failure"):
    """The upstream failed after it had begun to answer. Nothing follows."""

    kind: Kind
    message: str
    code: str | None = None


class KeepAlive(Struct, frozen=True, tag="keep_alive"):
    """Nothing happened, but the connection is alive."""


Event = (
    Start
    | PartBegin
    | Delta
    | SignatureDelta
    | CitationDelta
    | AudioDelta
    | PartEnd
    | LogprobsDelta
    | Finish
    | UsageReport
    | Failure
    | KeepAlive
)

KEEP_ALIVE: Final = KeepAlive()


class Choice(Struct, frozen=True, kw_only=True):
    """One of the answers."""

    index: int = 0
    parts: tuple[Part, ...] = ()
    finish: Finish | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    refusal_logprobs: tuple[TokenLogprob, ...] = ()


class ChatResponse(Struct, frozen=True, kw_only=True):
    """A complete answer: the fold of its events."""

    id: str
    model: str
    created: int | None = None
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    usage_extra: Extension | None = None
    failure: Failure | None = None
    extra: Extension | None = None


class _OpenPart:
    """A part being folded: strings are collected and joined once, so a long answer costs its length."""

    __slots__ = ("citations", "content", "data", "extra", "pieces", "signature", "transcript")

    def __init__(self, content: Part) -> None:
        self.content = content
        self.pieces: list[str] = []
        self.data: list[str] = []
        self.transcript: list[str] = []
        self.citations: list[Citation] = []
        self.signature: list[Opaque] = []
        self.extra: Extension | None = None

    def close(self) -> Part:
        part = self.content
        text = "".join(self.pieces)
        replace = msgspec.structs.replace
        match part:
            case Text():
                part = replace(part, text=part.text + text, citations=(*part.citations, *self.citations))
            case Reasoning() | Refusal():
                part = replace(part, text=part.text + text)
            case ToolCall():
                part = replace(part, arguments=part.arguments + text)
            case Audio():
                part = self._close_audio(part)
            case _:
                pass
        if self.signature and isinstance(part, Text | Reasoning | ToolCall):
            known = [part.signature] if part.signature is not None else []
            values = [*known, *self.signature]
            part = replace(part, signature=Opaque(values[0].dialect, "".join(blob.value for blob in values)))
        if self.extra is not None:
            part = replace(part, extra=merge_extensions(getattr(part, "extra", None), self.extra))
        return part

    def _close_audio(self, part: Audio) -> Audio:
        data = "".join(self.data)
        transcript = "".join(self.transcript)
        replace = msgspec.structs.replace
        if data:
            part = replace(part, source=replace(part.source, data=(part.source.data or "") + data))
        if transcript:
            part = replace(part, transcript=(part.transcript or "") + transcript)
        return part


def merge_extensions(first: Extension | None, second: Extension | None) -> Extension | None:
    """The members of both; the second's count where both have one."""
    if first is None or second is None or first.dialect != second.dialect:
        return second or first
    return Extension(first.dialect, first.members | second.members)


class Fold:
    """Collects events into the response they make. `add` in order, then `response` once."""

    def __init__(self) -> None:
        self._start = Start(id="", model="")
        self._parts: dict[int, dict[int, _OpenPart]] = {}
        self._finishes: dict[int, Finish] = {}
        self._logprobs: dict[tuple[int, bool], list[TokenLogprob]] = {}
        self._usage: UsageReport | None = None
        self._failure: Failure | None = None

    def add(self, events: Iterable[Event]) -> None:
        """Take the next events."""
        for event in events:
            match event:
                case Delta():
                    self._parts[event.choice][event.part].pieces.append(event.text)
                case PartBegin():
                    self._parts.setdefault(event.choice, {})[event.part] = _OpenPart(event.content)
                case PartEnd():
                    if event.extra is not None:
                        part = self._parts[event.choice][event.part]
                        part.extra = merge_extensions(part.extra, event.extra)
                case _:
                    self._add_rare(event)

    def _add_rare(self, event: Event) -> None:
        match event:
            case SignatureDelta():
                self._parts[event.choice][event.part].signature.append(event.signature)
            case CitationDelta():
                self._parts[event.choice][event.part].citations.append(event.citation)
            case AudioDelta():
                part = self._parts[event.choice][event.part]
                part.data.append(event.data)
                part.transcript.append(event.transcript)
            case LogprobsDelta():
                self._logprobs.setdefault((event.choice, event.is_refusal), []).extend(event.tokens)
            case Finish():
                self._finishes[event.choice] = event
                self._parts.setdefault(event.choice, {})
            case Start():
                self._start = event
            case UsageReport():
                self._usage = event
            case Failure():
                self._failure = event
            case _:
                pass

    def response(self) -> ChatResponse:
        """What the events so far make; unfinished parts are taken as they are."""
        start = self._start
        return ChatResponse(
            id=start.id,
            model=start.model,
            created=start.created,
            choices=tuple(self._choice(index) for index in sorted(self._parts)),
            usage=None if self._usage is None else self._usage.usage,
            usage_extra=None if self._usage is None else self._usage.extra,
            failure=self._failure,
            extra=start.extra,
        )

    def _choice(self, index: int) -> Choice:
        parts = self._parts[index]
        return Choice(
            index=index,
            parts=tuple(parts[number].close() for number in sorted(parts)),
            finish=self._finishes.get(index),
            logprobs=tuple(self._logprobs.get((index, False), ())),
            refusal_logprobs=tuple(self._logprobs.get((index, True), ())),
        )


def fold(events: Iterable[Event]) -> ChatResponse:
    """The complete response that `events` make."""
    folded = Fold()
    folded.add(events)
    return folded.response()


def unfold(response: ChatResponse) -> list[Event]:
    """Events that make `response`: every part in one piece. Undone by `fold`."""
    events: list[Event] = [Start(id=response.id, model=response.model, created=response.created, extra=response.extra)]
    for choice in response.choices:
        for number, part in enumerate(choice.parts):
            events.append(PartBegin(choice.index, number, part))
            events.append(PartEnd(choice.index, number))
        if choice.logprobs:
            events.append(LogprobsDelta(choice.index, choice.logprobs))
        if choice.refusal_logprobs:
            events.append(LogprobsDelta(choice.index, choice.refusal_logprobs, is_refusal=True))
        if choice.finish is not None:
            events.append(choice.finish)
    if response.usage is not None:
        events.append(UsageReport(usage=response.usage, extra=response.usage_extra))
    if response.failure is not None:
        events.append(response.failure)
    return events
