"""The hub's events as a streamed answer to a client: server-sent events, one chunk for each batch of events.

A chunk is a whole response with the next pieces of the parts. Texts go out as they come; calls, pictures and sounds
when they are complete, since this API has no deltas of them; a signature follows its text with an empty one, as Google
sends it. How the candidates ended, and the usage, stand in the last chunk. Lines end as Google's do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gatewright.core.chat import Audio, Citation, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from gatewright.core.codec import StreamContext
from gatewright.core.errors import GatewayError
from gatewright.core.events import (
    AudioDelta,
    CitationDelta,
    Delta,
    Event,
    Finish,
    LogprobsDelta,
    PartBegin,
    PartEnd,
    SignatureDelta,
    Start,
    TokenLogprob,
    UsageReport,
    merge_extensions,
)
from gatewright.dialects.google.errors import render_stream_error
from gatewright.dialects.google.grounding import write_citations
from gatewright.dialects.google.logprobs import write_logprobs
from gatewright.dialects.google.members import NAME, own_members
from gatewright.dialects.google.write_answer import blocked_feedback, usage_member, write_end, write_part
from gatewright.wire.json_object import on_one_line

_encoder = msgspec.json.Encoder()
_encode: Final = _encoder.encode
_END: Final = b"\r\n\r\n"


class _Open:
    """A part that has begun."""

    __slots__ = ("audio", "citations", "content", "extra", "pieces", "signature", "transcript")

    def __init__(self, content: Part) -> None:
        self.content = content
        self.pieces: list[str] = []
        self.signature: list[Opaque] = []
        self.audio: list[str] = []
        self.transcript: list[str] = []
        self.citations: list[Citation] = []
        self.extra = getattr(content, "extra", None)


class _Candidate:
    """What is known of a choice beyond what has been written."""

    __slots__ = ("finish", "logprobs", "text_bytes", "texts")

    def __init__(self) -> None:
        self.finish: Finish | None = None
        self.logprobs: list[TokenLogprob] = []
        self.texts: list[tuple[int, Text]] = []
        """The texts that have citations, each with how many bytes of text come before it."""
        self.text_bytes = 0


class StreamEncoder:
    """Writes one streamed answer; see `core.codec.StreamEncoder`."""

    __slots__ = ("_candidates", "_context", "_open", "_tail", "_tail_members", "_usage")

    def __init__(self, context: StreamContext) -> None:
        self._context = context
        self._open: dict[tuple[int, int], _Open] = {}
        self._candidates: dict[int, _Candidate] = {}
        self._usage: UsageReport | None = None
        self._tail_members: dict[str, Any] = {"responseId": context.response_id}
        self._tail = b""
        self._set_tail(Start(id="", model=""))

    def encode(self, events: Sequence[Event]) -> bytes:
        """One chunk with the pieces that `events` hold; empty when they hold none."""
        if len(events) == 1 and isinstance(events[0], Delta):
            return self._delta_alone(events[0])
        found: dict[int, list[dict[str, Any]]] = {}
        for event in events:
            self._take(event, found)
        candidates = [{"content": {"parts": parts, "role": "model"}, "index": index} for index, parts in found.items()]
        return b'data: {"candidates":' + on_one_line(_encode(candidates)) + self._tail if candidates else b""

    def end(self) -> bytes:
        """The last chunk."""
        written: dict[str, Any] = {}
        only = self._candidates.get(0) if len(self._candidates) == 1 else None
        feedback = None if only is None else blocked_feedback(only.finish)
        if feedback is None:
            written["candidates"] = [self._ended(index) for index in sorted(self._candidates)]
        else:
            written |= feedback
        if self._usage is not None:
            written |= usage_member(self._usage.usage, self._usage.extra)
        return b"data: " + on_one_line(_encode(written | self._tail_members)) + _END

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """An error in place of the last chunk."""
        return render_stream_error(error, request_id)

    def _set_tail(self, start: Start) -> None:
        members: dict[str, Any] = {"modelVersion": start.model} if start.model else {}
        members["responseId"] = start.id or self._context.response_id
        self._tail_members = members | own_members(start.extra, NAME)
        self._tail = b"," + on_one_line(_encode(self._tail_members)[1:]) + _END

    def _delta_alone(self, event: Delta) -> bytes:
        part = self._open[event.choice, event.part]
        part.pieces.append(event.text)
        content = part.content
        if isinstance(content, Text | Refusal):
            thought = b""
        elif isinstance(content, Reasoning):
            thought = b',"thought":true'
        else:
            return b""
        return (
            b'data: {"candidates":[{"content":{"parts":[{"text":%b%b}],"role":"model"},"index":%d}]'
            % (_encode(event.text), thought, event.choice)
            + self._tail
        )

    def _take(self, event: Event, found: dict[int, list[dict[str, Any]]]) -> None:
        match event:
            case PartBegin():
                self._begin(event, found)
            case Delta():
                self._delta(event, found)
            case PartEnd():
                self._end_part(event, found)
            case SignatureDelta():
                self._open[event.choice, event.part].signature.append(event.signature)
            case CitationDelta():
                self._open[event.choice, event.part].citations.append(event.citation)
            case AudioDelta():
                part = self._open[event.choice, event.part]
                part.audio.append(event.data)
                part.transcript.append(event.transcript)
            case LogprobsDelta():
                self._candidate(event.choice).logprobs.extend(() if event.is_refusal else event.tokens)
            case Finish():
                self._candidate(event.choice).finish = event
            case UsageReport():
                self._usage = event
            case Start():
                self._set_tail(event)
            case _:
                pass

    def _candidate(self, index: int) -> _Candidate:
        found = self._candidates.get(index)
        if found is None:
            found = self._candidates[index] = _Candidate()
        return found

    def _begin(self, event: PartBegin, found: dict[int, list[dict[str, Any]]]) -> None:
        content = event.content
        self._open[event.choice, event.part] = _Open(content)
        if isinstance(content, Refusal):
            write_part(content, f"choices[{event.choice}].parts[{event.part}]", self._context.report)
        if isinstance(content, Text | Reasoning | Refusal) and content.text:
            self._delta(Delta(event.choice, event.part, content.text), found)

    def _delta(self, event: Delta, found: dict[int, list[dict[str, Any]]]) -> None:
        part = self._open[event.choice, event.part]
        part.pieces.append(event.text)
        if not event.text:
            return
        if isinstance(part.content, Text | Refusal):
            found.setdefault(event.choice, []).append({"text": event.text})
        elif isinstance(part.content, Reasoning):
            found.setdefault(event.choice, []).append({"text": event.text, "thought": True})

    def _end_part(self, event: PartEnd, found: dict[int, list[dict[str, Any]]]) -> None:
        part = self._open.pop((event.choice, event.part))
        written = self._rest_of(part, event)
        if written is not None:
            found.setdefault(event.choice, []).append(written)

    def _rest_of(self, part: _Open, event: PartEnd) -> dict[str, Any] | None:
        """What of a part has not been written yet."""
        content = part.content
        replace = msgspec.structs.replace
        extra = merge_extensions(part.extra, event.extra)
        path = f"choices[{event.choice}].parts[{event.part}]"
        report = self._context.report
        match content:
            case Text():
                self._keep_text(event.choice, part, content)
                rest = replace(content, text="", signature=_joined(content.signature, part.signature), extra=extra)
                is_said = rest.signature is not None or own_members(extra, NAME)
                return write_part(rest, path, report) if is_said or not part.pieces else None
            case Reasoning():
                thought = replace(content, text="", signature=_joined(content.signature, part.signature), extra=extra)
                written = write_part(thought, path, report)
                return written if written is None or not part.pieces else {"text": "", "thought": True, **written}
            case Refusal():
                return None
            case ToolCall():
                arguments = content.arguments + "".join(part.pieces)
                signature = _joined(content.signature, part.signature)
                return write_part(replace(content, arguments=arguments, signature=signature, extra=extra), path, report)
            case Audio():
                data = (content.source.data or "") + "".join(part.audio)
                source = replace(content.source, data=data) if data else content.source
                transcript = (content.transcript or "") + "".join(part.transcript)
                return write_part(replace(content, source=source, transcript=transcript or None), path, report)
            case _:
                return write_part(content, path, report)

    def _keep_text(self, choice: int, part: _Open, content: Text) -> None:
        candidate = self._candidate(choice)
        text = "".join(part.pieces)
        citations = (*content.citations, *part.citations)
        if citations:
            candidate.texts.append((candidate.text_bytes, Text(text=text, citations=citations)))
        candidate.text_bytes += len(text.encode("utf-8", "replace"))

    def _ended(self, index: int) -> dict[str, Any]:
        candidate = self._candidates[index]
        path = f"choices[{index}].finish"
        end = {} if candidate.finish is None else write_end(candidate.finish, path, self._context.report)
        written: dict[str, Any] = {"content": {"parts": [{"text": ""}], "role": "model"}, **end, "index": index}
        if candidate.logprobs and "logprobsResult" not in written:
            written["logprobsResult"] = write_logprobs(candidate.logprobs)
        if candidate.texts and "groundingMetadata" not in written and "citationMetadata" not in written:
            grounding = write_citations(candidate.texts)
            if grounding is not None:
                written["groundingMetadata"] = grounding
        return written


def _joined(first: Opaque | None, more: list[Opaque]) -> Opaque | None:
    blobs = more if first is None else [first, *more]
    return Opaque(blobs[0].dialect, "".join(blob.value for blob in blobs)) if blobs else None


def stream_encoder(context: StreamContext) -> StreamEncoder:
    """An encoder for one answer."""
    return StreamEncoder(context)
