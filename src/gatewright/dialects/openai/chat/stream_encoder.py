"""A streamed chat answer for a client, event by event.

Each event becomes a chunk of its own that says what it adds, so parts may overlap. What of an answer is the same in
every chunk is rendered once; a text delta costs one JSON string and two concatenations.

Thoughts go as `reasoning_content` while they come. One that has a signature or is encrypted is given once more, whole,
as an entry of `reasoning_details` when it ends (see `reasoning`), so that a client can send it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gatewright.core.chat import Audio, Image, Native, Opaque, Reasoning, Refusal, Text, ToolCall
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
    UsageReport,
    merge_extensions,
)
from gatewright.core.loss import Feature, Outcome
from gatewright.dialects.openai.chat.media import form_of, rest_of
from gatewright.dialects.openai.chat.reasoning import member_of, needs_entry, write_entry, write_thought_signature
from gatewright.dialects.openai.chat.words import NAME, own, write_finish
from gatewright.dialects.openai.chat.write_pieces import (
    wants_functions,
    write_answer_image,
    write_citation,
    write_logprobs,
    write_usage,
)
from gatewright.dialects.openai.errors import render_stream_error
from gatewright.wire.json_object import on_one_line

_encode = msgspec.json.Encoder().encode
_TAIL: Final = b',"logprobs":null,"finish_reason":null}]}\n\n'


_FIXED: Final = ("message", "delta", "logprobs")
"""Members of a choice that are written by themselves."""


class _Part:
    """A part being written."""

    __slots__ = ("content", "has_text", "head", "pieces", "signature", "tail", "tool", "written")

    def __init__(self, content: Any) -> None:
        self.content = content
        self.head = b""
        """What stands before the JSON string of a delta of this part, and `tail` what stands behind."""
        self.tail = b""
        self.pieces: list[str] = []
        """The thoughts so far, for their entry at the end."""
        self.signature: list[Opaque] = []
        self.has_text = False
        self.tool = -1
        self.written = 0
        """How many characters of the message stand before this text."""


class _Choice:
    """A choice being written."""

    __slots__ = ("citations", "entries", "has_function", "has_thoughts", "length", "thoughts", "tools")

    def __init__(self) -> None:
        self.tools = 0
        self.citations = 0
        self.entries = 0
        self.length = 0
        self.has_thoughts = False
        self.thoughts: list[Reasoning] = []
        """Those that have ended and have no entry yet."""
        self.has_function = False


class ChatEncoder:
    """Writes the stream of one answer (see `StreamEncoder`)."""

    def __init__(self, context: StreamContext) -> None:
        self._context = context
        self._report = context.report
        self._is_legacy = wants_functions(context.request)
        self._head = b""
        """The beginning of every chunk, up to its choices."""
        self._choices: dict[int, _Choice] = {}
        self._parts: dict[tuple[int, int], _Part] = {}
        self._usage: UsageReport | None = None
        self._start(Start(id="", model=context.request.model))

    def encode(self, events: Sequence[Event]) -> bytes:
        """See `StreamEncoder.encode`."""
        out: list[bytes] = []
        for event in events:
            if type(event) is Delta:
                self._write_delta(event, out)
            else:
                self._write_rare(event, out)
        return b"".join(out)

    def end(self) -> bytes:
        """Usage, if the client asked for it, and the closing mark."""
        usage = b""
        if self._usage is not None and self._context.request.include_usage:
            members = write_usage(self._usage.usage, self._usage.extra)
            usage = b'%b[],"usage":%b}\n\n' % (self._head, on_one_line(_encode(members)))
        return usage + b"data: [DONE]\n\n"

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """An `error` member, and no closing mark."""
        return render_stream_error(error, request_id)

    # -- events

    def _write_rare(self, event: Event, out: list[bytes]) -> None:
        match event:
            case PartBegin():
                self._begin(event, out)
            case PartEnd():
                self._end_part(event, out)
            case SignatureDelta():
                self._parts[event.choice, event.part].signature.append(event.signature)
            case CitationDelta():
                part = self._parts[event.choice, event.part]
                self._write_citations((event.citation,), event.choice, part.written, out)
            case AudioDelta():
                audio = {"data": event.data, "transcript": event.transcript}
                self._chunk(event.choice, {"audio": {name: value for name, value in audio.items() if value}}, out)
            case LogprobsDelta():
                name = "refusal" if event.is_refusal else "content"
                logprobs = {"content": None, "refusal": None, name: write_logprobs(event.tokens)}
                self._choice(event.choice, out)
                self._write(event.choice, {}, logprobs, None, out)
            case Start():
                self._start(event)
            case Finish():
                self._finish(event, out)
            case UsageReport():
                self._usage = event
            case _:
                pass

    def _start(self, start: Start) -> None:
        created = start.created if start.created is not None else self._context.created
        fixed = {
            "id": start.id or self._context.response_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": start.model or self._context.request.model,
            **{name: value for name, value in own(start.extra).items() if name not in ("choices", "usage")},
        }
        self._head = b'data: %b,"choices":' % on_one_line(_encode(fixed))[:-1]

    def _choice(self, index: int, out: list[bytes]) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
            self._write(index, {"role": "assistant", "content": ""}, None, None, out)
        return choice

    def _write(self, index: int, delta: Any, logprobs: Any, finish: str | None, out: list[bytes], **more: Any) -> None:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish, **more}
        out.append(b"%b[%b]}\n\n" % (self._head, on_one_line(_encode(choice))))

    def _chunk(self, index: int, delta: dict[str, Any], out: list[bytes]) -> None:
        self._choice(index, out)
        self._write(index, delta, None, None, out)

    def _write_delta(self, event: Delta, out: list[bytes]) -> None:
        part = self._parts[event.choice, event.part]
        text = event.text
        if not text or not part.head:
            return
        content = part.content
        if type(content) is Text:
            self._choices[event.choice].length += len(text)
        elif type(content) is Reasoning:
            part.pieces.append(text)
            if not part.has_text:
                self._separate(part, event.choice, out)
        part.has_text = True
        out.append(part.head + _encode(text) + part.tail)

    def _separate(self, part: _Part, index: int, out: list[bytes]) -> None:
        """Put an empty line between one thought and the next."""
        choice = self._choices[index]
        if choice.has_thoughts:
            out.append(part.head + b'"\\n\\n"' + part.tail)
        choice.has_thoughts = True

    # -- parts

    def _begin(self, event: PartBegin, out: list[bytes]) -> None:
        content = event.content
        choice = self._choice(event.choice, out)
        part = self._parts[event.choice, event.part] = _Part(content)
        match content:
            case Text():
                part.written = choice.length
                self._frame(part, event.choice, "content")
                self._write_delta(Delta(event.choice, event.part, content.text), out)
                self._write_citations(content.citations, event.choice, part.written, out)
            case Reasoning():
                self._frame(
                    part, event.choice, "reasoning" if member_of(content) == "reasoning" else "reasoning_content"
                )
                self._write_delta(Delta(event.choice, event.part, content.text), out)
            case Refusal():
                self._frame(part, event.choice, "refusal")
                self._write_delta(Delta(event.choice, event.part, content.text), out)
            case ToolCall():
                self._begin_call(content, part, choice, event.choice, out)
            case Audio():
                begun = {"data": content.source.data, "transcript": content.transcript, **rest_of(content)}
                audio = {"id": content.id or f"audio_{self._context.response_id}"}
                audio |= {name: value for name, value in begun.items() if value}
                self._chunk(event.choice, {"audio": audio}, out)
            case Image() if (image := write_answer_image(content)) is not None:
                self._chunk(event.choice, {"images": [{"index": event.part, **image}]}, out)
            case Native():
                note = f"`{content.kind}` is a part that chat streams cannot hold"
                self._report.note(Feature.NATIVE_TOOLS, Outcome.DROPPED, "choices.parts", note)
            case _:
                self._report.note(Feature.MEDIA_OUTPUT, Outcome.DROPPED, "choices.parts", "chat answers cannot hold it")

    def _frame(self, part: _Part, index: int, member: str) -> None:
        part.head = b'%b[{"index":%d,"delta":{"%b":' % (self._head, index, member.encode())
        part.tail = b"}" + _TAIL

    def _begin_call(self, call: ToolCall, part: _Part, choice: _Choice, index: int, out: list[bytes]) -> None:
        part.has_text = bool(call.arguments)
        if form_of(call) == "function_call" or (self._is_legacy and not choice.has_function):
            choice.has_function = True
            function = {"name": call.name, "arguments": call.arguments}
            self._chunk(index, {"function_call": function}, out)
            part.head = b'%b[{"index":%d,"delta":{"function_call":{"arguments":' % (self._head, index)
            part.tail = b"}}" + _TAIL
            return
        part.tool = choice.tools
        choice.tools += 1
        kind, member = ("custom", "input") if call.is_custom else ("function", "arguments")
        begun: dict[str, Any] = {
            "index": part.tool,
            "id": call.id,
            "type": kind,
            kind: {"name": call.name, member: call.arguments},
            **{name: value for name, value in rest_of(call, "function", "custom").items() if name != "index"},
        }
        if call.signature is not None:
            begun["extra_content"] = write_thought_signature(call.signature, call.extra)
        self._chunk(index, {"tool_calls": [begun]}, out)
        names = (self._head, index, part.tool, kind.encode(), member.encode())
        part.head = b'%b[{"index":%d,"delta":{"tool_calls":[{"index":%d,"%b":{"%b":' % names
        part.tail = b"}}]}" + _TAIL

    def _write_citations(self, citations: Sequence[Any], index: int, offset: int, out: list[bytes]) -> None:
        written = [write_citation(citation, offset, self._report) for citation in citations]
        found = [note for note in written if note is not None]
        if found:
            choice = self._choices[index]
            # The vendor's library joins lists by the index of their entries, and raises when a second list has none.
            numbered = [{"index": number, **note} for number, note in enumerate(found, choice.citations)]
            choice.citations += len(found)
            self._chunk(index, {"annotations": numbered}, out)

    def _end_part(self, event: PartEnd, out: list[bytes]) -> None:
        part = self._parts.pop((event.choice, event.part), None)
        if part is None:
            return
        content = part.content
        signature = _joined(part.signature, getattr(content, "signature", None))
        match content:
            case Reasoning():
                whole = msgspec.structs.replace(
                    content,
                    text="".join(part.pieces),
                    signature=signature,
                    extra=merge_extensions(content.extra, event.extra),
                )
                choice = self._choices[event.choice]
                choice.thoughts.append(whole)
                if choice.entries or needs_entry(whole):
                    # All of them: who reads entries does not look for further thoughts elsewhere.
                    entries = [write_entry(part, choice.entries + n) for n, part in enumerate(choice.thoughts)]
                    choice.entries += len(entries)
                    choice.thoughts = []
                    self._chunk(event.choice, {"reasoning_details": entries}, out)
            case ToolCall():
                if not part.has_text and not content.is_custom:
                    out.append(part.head + b'"{}"' + part.tail)
                if part.signature and signature is not None and part.tool >= 0:
                    late = {"index": part.tool, "extra_content": write_thought_signature(signature)}
                    self._chunk(event.choice, {"tool_calls": [late]}, out)
            case Text() if signature is not None:
                self._chunk(event.choice, {"extra_content": write_thought_signature(signature)}, out)
            case Audio() if own(event.extra):
                self._chunk(event.choice, {"audio": own(event.extra)}, out)
            case _:
                pass

    def _finish(self, event: Finish, out: list[bytes]) -> None:
        choice = self._choice(event.choice, out)
        for index, number in [key for key in self._parts if key[0] == event.choice]:
            self._end_part(PartEnd(index, number), out)
        word = write_finish(event)
        if event.dialect != NAME and word == "tool_calls" and choice.has_function:
            word = "function_call"
        members = {name: value for name, value in own(event.extra).items() if name not in _FIXED}
        self._write(event.choice, {}, None, word, out, **members)


def _joined(deltas: list[Opaque], known: Opaque | None) -> Opaque | None:
    blobs = ([] if known is None else [known]) + deltas
    return Opaque(blobs[0].dialect, "".join(blob.value for blob in blobs)) if blobs else None
