"""A streamed answer of an upstream into the hub's events.

Every chunk is a whole response that holds the next pieces of its candidates' parts. The stream has no closing event:
it is complete when every candidate has said its `finishReason`, which older models say in every chunk, so ends are
told when the body ends. Chunks come as server-sent events (`alt=sse`) or as the elements of one JSON array.

A text with a signature is a part by itself, because the signature is of that part; a signature that comes with an
empty text belongs to the text before it. Unsigned texts that follow each other are one part.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from gatewright.core.chat import Extension, Reasoning, Text
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import (
    CitationDelta,
    Delta,
    Event,
    Failure,
    LogprobsDelta,
    PartBegin,
    PartEnd,
    SignatureDelta,
    Start,
    UsageReport,
)
from gatewright.dialects.google.errors import read_failure
from gatewright.dialects.google.finish import UNSPECIFIED, read_finish, read_word
from gatewright.dialects.google.grounding import read_citations
from gatewright.dialects.google.json_array import ArraySplitter
from gatewright.dialects.google.logprobs import joined, read_logprobs
from gatewright.dialects.google.members import NAME, Members
from gatewright.dialects.google.partial_args import PartialArguments, is_partial
from gatewright.dialects.google.read_parts import read_call, read_part
from gatewright.dialects.google.read_response import BAD, Calls, read_blocked, read_created
from gatewright.dialects.google.usage import read_counts, read_usage
from gatewright.wire.json_object import mend_surrogates
from gatewright.wire.sse import EventBuffer, event_data, split_events

MAX_CHUNK_BYTES: Final = 64 * 1024 * 1024
"""An answer may hold pictures in one piece."""
_CUT: Final = "The provider broke off before the answer was complete."


class _FastPart(Struct, forbid_unknown_fields=True):
    text: str
    thought: bool = False


class _FastContent(Struct, forbid_unknown_fields=True):
    parts: list[_FastPart]
    role: str = ""


class _FastCandidate(Struct, forbid_unknown_fields=True):
    content: _FastContent
    index: int = 0


class _FastChunk(Struct, forbid_unknown_fields=True):
    """A chunk that holds more text and nothing else, as nearly all do."""

    candidates: list[_FastCandidate]
    usageMetadata: Raw = Raw(b"")
    modelVersion: Raw = Raw(b"")
    responseId: Raw = Raw(b"")
    createTime: Raw = Raw(b"")


_fast = msgspec.json.Decoder(_FastChunk)
_any = msgspec.json.Decoder()
_FAILURES: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class StreamDecoder:
    """Reads one streamed answer; see `core.codec.StreamDecoder`."""

    __slots__ = ("_array", "_buffer", "_choices", "_failed", "_feedback", "_form", "_id", "_started", "_usage")

    def __init__(self) -> None:
        self._buffer = EventBuffer(MAX_CHUNK_BYTES)
        self._array = ArraySplitter(MAX_CHUNK_BYTES)
        self._form: bytes = b""
        self._started = False
        self._failed = False
        self._id = ""
        self._choices: dict[int, _Choice] = {}
        self._usage: Raw | None = None
        self._feedback: Raw | None = None

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        if self._failed or not data:
            return []
        if not self._form:
            found = data.lstrip()[:1]
            if not found:
                return []
            self._form = b"array" if found in b"[{" else b"events"
        events: list[Event] = []
        if data[:6] == b"data: " and data.find(b"\n") == len(data) - 3 and self._is_alone(data):
            # One whole event, as Google sends them: nothing has to be searched or put together.
            self._chunk(data[6:-4], events)
            return events
        try:
            if self._form == b"array":
                for element in self._array.feed(data):
                    self._chunk(element, events)
                return events
            block = self._buffer.feed(data)
        except ValueError as error:
            raise GatewayError(BAD, f"The provider's answer is not usable: {error}.") from None
        if block:
            self._events(block, events)
        return events

    def end(self) -> list[Event]:
        """What the end of the body completes."""
        if self._failed:
            return []
        events: list[Event] = []
        self._rest(self._buffer.end(), events)
        return self._ended(events)

    def _ended(self, events: list[Event]) -> list[Event]:
        if self._failed:
            return events
        is_whole = self._array.is_between and all(choice.word for choice in self._choices.values())
        if not is_whole or (not self._choices and self._feedback is None):
            for choice in self._choices.values():
                choice.close(events)
            self._fail(Failure(kind=Kind.UPSTREAM_CUT, message=_CUT), events)
            return events
        for index in sorted(self._choices):
            self._choices[index].finish(events)
        if not self._choices:
            events.append(read_blocked(self._feedback))
        usage, extra = read_usage(self._usage)
        if usage is not None:
            events.append(UsageReport(usage=usage, extra=extra))
        return events

    def _is_alone(self, data: bytes) -> bool:
        return data.find(b"\r") == len(data) - 4 and not self._buffer.held and self._form == b"events"

    def _events(self, block: bytes, events: list[Event]) -> None:
        for event in split_events(block):
            if event[:6] == b"data: " and event.find(b"\n", 6, -4) < 0 and event.find(b"\r", 6, -4) < 0:
                data = event[6:]
            else:
                # An error may come as bare JSON, which is no event.
                data = event_data(event) or (event if event.lstrip()[:1] in (b"{", b"[") else b"")
            data = data.strip()
            if data and data != b"[DONE]":
                self._chunk(data, events)

    def _rest(self, rest: bytes, events: list[Event]) -> None:
        """An event without its blank line: taken when it is whole, since the body is."""
        data = event_data(rest) or (rest if rest.lstrip()[:1] in (b"{", b"[") else b"")
        try:
            _any.decode(mend_surrogates(data))
        except _FAILURES:
            return
        self._chunk(data, events)

    def _chunk(self, data: bytes, events: list[Event]) -> None:
        if self._failed:
            return
        try:
            chunk = _fast.decode(data)
        except _FAILURES:
            self._any_chunk(data, events)
            return
        if not self._started:
            self._start(Members.parse(data, "", BAD), events)
        for candidate in chunk.candidates:
            choice = self._choice(candidate.index)
            for part in candidate.content.parts:
                choice.text(part.text, part.thought, events)
        if chunk.usageMetadata:
            self._count(chunk.usageMetadata, events)

    def _any_chunk(self, data: bytes, events: list[Event]) -> None:
        if data.lstrip()[:1] == b"[":
            for _, body in Members({"chunks": Raw(data)}, "", BAD).many("chunks") or ():
                self._body(body, events)
            return
        self._body(Members.parse(data, "", BAD), events)

    def _body(self, body: Members, events: list[Event]) -> None:
        if self._failed:
            return
        error = body.any("error")
        if error is not None:
            self._fail(read_failure(error), events)
            return
        candidates = body.many("candidates") or []
        feedback = body.raw("promptFeedback")
        usage = body.raw("usageMetadata")
        if not self._started:
            self._start(body, events, feedback if candidates else None)
        if feedback is not None:
            self._feedback = feedback
        for _, candidate in candidates:
            self._choice(candidate.integer("index") or 0).take(candidate, events)
        if usage is not None:
            self._count(usage, events)

    def _start(self, body: Members, events: list[Event], feedback: Raw | None = None) -> None:
        self._started = True
        self._id = body.string("responseId") or ""
        model = body.string("modelVersion") or ""
        created = read_created(body.peek("createTime"))
        body.drop("candidates", "usageMetadata", "promptFeedback")
        rest = body.rest(NAME)
        if feedback is not None:
            rest = Extension(NAME, {**(rest.members if rest else {}), "promptFeedback": feedback})
        events.append(Start(id=self._id, model=model, created=created, extra=rest))

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            if not 0 <= index < 1000:
                raise GatewayError(BAD, "The provider's answer is not usable: it numbers a candidate impossibly.")
            choice = self._choices[index] = _Choice(index, Calls(self._id, index))
        return choice

    def _count(self, usage: Raw, events: list[Event]) -> None:
        self._usage = usage
        counted = read_counts(usage)
        if counted is not None:
            events.append(UsageReport(usage=counted))

    def _fail(self, failure: Failure, events: list[Event]) -> None:
        self._failed = True
        usage, extra = read_usage(self._usage)
        if usage is not None:
            events.append(UsageReport(usage=usage, extra=extra))
        events.append(failure)


class _Choice:
    """One candidate, while it comes."""

    __slots__ = (
        "_arguments",
        "_calls",
        "_index",
        "_kept",
        "_kind",
        "_logprobs",
        "_number",
        "_sealed",
        "_texts",
        "word",
    )

    def __init__(self, index: int, calls: Calls) -> None:
        self._index = index
        self._calls = calls
        self._number = -1
        self._kind: bool | None = None
        """Whether the open part is a thought; None when no text is open."""
        self._sealed = False
        """Whether the open text is signed, so that nothing can be added to it."""
        self._arguments: PartialArguments | None = None
        self._texts: list[list[str]] = []
        self._kept: dict[str, Raw] = {}
        self._logprobs: list[Raw] = []
        self.word: str | None = None

    def text(self, text: str, thought: bool, events: list[Event]) -> None:
        """More text, unsigned."""
        if self._kind is thought and not self._sealed:
            if text:
                events.append(Delta(self._index, self._number, text))
                if not thought:
                    self._texts[-1].append(text)
        elif text:
            self._begin(Reasoning(text=text, is_summary=True) if thought else Text(text=text), events)

    def take(self, candidate: Members, events: list[Event]) -> None:
        """All that a chunk says of this candidate."""
        content = candidate.object("content")
        if content is not None:
            for raw, part in content.many("parts") or ():
                self._part(raw, part, events)
        word = read_word(candidate.raw("finishReason"))
        if word is not None and (word != UNSPECIFIED or self.word is None):
            self.word = None if word == UNSPECIFIED else word
        logprobs = candidate.raw("logprobsResult")
        if logprobs is not None:
            self._logprobs.append(logprobs)
            tokens = read_logprobs(logprobs)
            if tokens:
                events.append(LogprobsDelta(self._index, tokens))
        rest = candidate.rest(NAME)
        if rest is not None:
            self._kept |= rest.members

    def close(self, events: list[Event]) -> None:
        """End the open part."""
        if self._arguments is not None:
            arguments, self._arguments = self._arguments, None
            events.append(Delta(self._index, self._number, arguments.text()))
            events.append(PartEnd(self._index, self._number))
        if self._kind is not None:
            self._kind, self._sealed = None, False
            events.append(PartEnd(self._index, self._number))

    def finish(self, events: list[Event]) -> None:
        """End the candidate."""
        if self._logprobs:
            self._kept["logprobsResult"] = joined(self._logprobs)
        if self._kind is False and self._kept:
            found = read_citations(self._kept, ["".join(pieces) for pieces in self._texts])
            events.extend(CitationDelta(self._index, self._number, citation) for citation in found)
        self.close(events)
        extra = Extension(NAME, self._kept) if self._kept else None
        events.append(read_finish(self._index, self.word, has_calls=self._calls.count > 0, extra=extra))

    def _part(self, raw: Raw, part: Members, events: list[Event]) -> None:
        if self._arguments is not None or part.has("functionCall"):
            call = part.peek("functionCall")
            if call is not None and self._call(part, Members.parse(call, part.at("functionCall"), BAD), events):
                return
        read = read_part(raw, part, self._calls.id, None)
        if not isinstance(read, Text | Reasoning):
            self._whole(read, events)
            return
        thought = isinstance(read, Reasoning)
        has_more = isinstance(read, Reasoning) and (read.encrypted is not None or read.id is not None)
        if read.signature is None and read.extra is None and not has_more:
            self.text(read.text, thought, events)
            return
        if not read.text and read.signature is not None and self._kind is not None and not self._sealed:
            # A signature without text is of the text before it.
            if thought is self._kind or (thought and read.extra is None):
                events.append(SignatureDelta(self._index, self._number, read.signature))
                self._sealed = True
                return
        self._begin(read, events)
        self._sealed = True

    def _begin(self, part: Text | Reasoning, events: list[Event]) -> None:
        self.close(events)
        self._number += 1
        self._kind = isinstance(part, Reasoning)
        if not self._kind:
            self._texts.append([part.text])
        events.append(PartBegin(self._index, self._number, part))

    def _whole(self, part: Any, events: list[Event]) -> None:
        self.close(events)
        self._number += 1
        events.append(PartBegin(self._index, self._number, part))
        events.append(PartEnd(self._index, self._number))

    def _call(self, part: Members, call: Members, events: list[Event]) -> bool:
        """Take a piece of a call; False when the call is whole."""
        if not is_partial(call):
            return False
        pieces = call.many("partialArgs") or []
        more = call.boolean("willContinue")
        if call.has("name"):
            self._open_call(part, call, events)
        elif self._arguments is None:
            return not call.has("args")  # what closes a call that was closed by something else
        assert self._arguments is not None
        for _, piece in pieces:
            self._arguments.add(piece)
        if not more:
            self.close(events)
        return True

    def _open_call(self, part: Members, call: Members, events: list[Event]) -> None:
        self.close(events)
        self._number += 1
        self._arguments = PartialArguments()
        self._arguments.start_with(call.any("args"))
        bare = Members({"functionCall": call.spelled()}, part.path, BAD)
        begun = read_call(bare, part.string("thoughtSignature") or None, self._calls.id)
        events.append(PartBegin(self._index, self._number, msgspec.structs.replace(begun, arguments="")))


def stream_decoder() -> StreamDecoder:
    """A decoder for one answer."""
    return StreamDecoder()
