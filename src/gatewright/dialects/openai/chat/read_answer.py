"""Answers read piece by piece: chunks of a stream and complete answers alike become the same events.

A complete answer is a chunk whose `message` stands in place of a `delta`. Per choice the reader keeps which part is
open. Thoughts and text follow each other; tool calls stay open until the next begins and theirs is whole JSON, or the
answer ends, since deltas of several calls may alternate. `Finish` is held until the stream ends: some hosts repeat the
finish reason, and some report a failure after it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import (
    Audio,
    Citation,
    Extension,
    Native,
    Opaque,
    Reasoning,
    Refusal,
    Source,
    Text,
    ToolCall,
)
from gatewright.core.errors import Kind
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
from gatewright.core.usage import with_service
from gatewright.dialects.openai.chat.media import read_image
from gatewright.dialects.openai.chat.read_pieces import read_citation, read_failure, read_logprob
from gatewright.dialects.openai.chat.reasoning import (
    STRINGS,
    is_gateway_format,
    read_block,
    read_entry,
    read_thinking,
    read_thought_signature,
)
from gatewright.dialects.openai.chat.words import NAME, extended, read_finish, take_objects
from gatewright.dialects.openai.usage import read_usage
from gatewright.wire.json_object import JsonObject

UPSTREAM: Final = Kind.UPSTREAM_BAD_RESPONSE
_PADDING: Final = ("object", "obfuscation", "p")
"""What every chunk has, and what hides its length."""


class _Call:
    """A tool call being read."""

    __slots__ = ("arguments", "call_id", "given_id", "has_begun", "is_closed", "is_custom", "name", "part", "signature")

    def __init__(self) -> None:
        self.call_id = ""
        self.given_id = ""
        """The host's own; `call_id` is made up where it gives none."""
        self.name = ""
        self.arguments: list[str] = []
        self.is_custom = False
        self.has_begun = False
        self.is_closed = False
        self.part = -1
        self.signature: Opaque | None = None


class ChoiceReader:
    """Reads what one choice says."""

    def __init__(self, index: int, answer: AnswerReader) -> None:
        self.index = index
        self.finish: str | None = None
        self.has_finish = False
        self.extra: Extension | None = None
        self._answer = answer
        self._message_extra: Extension | None = None
        self._next = 0
        self.open = -1
        """The open part that is no tool call; -1 when there is none."""
        self.open_kind = ""
        """`text`, `refusal`, `audio`, the member of plain thoughts, or the key of an entry."""
        self.thoughts: list[str] = []
        """The pieces of the plain thoughts read last: an entry that repeats them only signs them."""
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._citations: list[Citation] = []
        self._audio_extra: Extension | None = None

    # -- parts

    def _begin(self, content: Any, out: list[Event], kind: str) -> int:
        self._close(out)
        number = self._next
        self._next += 1
        out.append(PartBegin(self.index, number, content))
        if kind:
            self.open, self.open_kind = number, kind
        return number

    def _close(self, out: list[Event]) -> None:
        if self.open >= 0:
            extra = self._audio_extra if self.open_kind == "audio" else None
            out.append(PartEnd(self.index, self.open, extra))
            self.open = -1

    def _whole(self, content: Any, out: list[Event]) -> None:
        number = self._begin(content, out, "")
        out.append(PartEnd(self.index, number))

    def add_text(self, text: str, out: list[Event]) -> None:
        """More of the visible answer."""
        if self.open < 0 or self.open_kind != "text":
            self._begin(Text(text=text), out, "text")
            out += [CitationDelta(self.index, self.open, citation) for citation in self._citations]
            self._citations = []
        else:
            out.append(Delta(self.index, self.open, text))

    def add_thoughts(self, text: str, member: str, out: list[Event]) -> None:
        """More of the thoughts that stand in a plain string."""
        if text == "\n\n" and self.open < 0 < self._next:
            return  # an empty line that sets two thoughts apart
        if self.open < 0 or self.open_kind != member:
            extra = None if member == STRINGS[0] else extended(None, member=member)
            self._begin(Reasoning(text=text, extra=extra), out, member)
            self.thoughts = []
        else:
            out.append(Delta(self.index, self.open, text))
        self.thoughts.append(text)

    def continue_call(self, number: int, text: str) -> list[Event] | None:
        """More arguments of the call of this index; None when it has not begun, or takes no more."""
        call = self._by_index.get(number)
        if call is None or not call.has_begun or call.is_closed or call.is_custom:
            return None
        if not text:
            return []
        call.arguments.append(text)
        return [Delta(self.index, call.part, text)]

    # -- one piece

    def read(self, piece: JsonObject, out: list[Event]) -> None:
        """A choice of a chunk or of a complete answer."""
        piece.drop("index")
        is_complete = False
        message = None
        for name in ("delta", "message"):  # Writer streams both, saying the same
            raw = piece.raw(name)
            if raw is not None and message is None:
                message = JsonObject.parse(raw, piece.at(name), UPSTREAM)
                is_complete = name == "message"
        if message is not None:
            self._read_message(message, out, is_complete=is_complete)
        self._read_logprobs(piece, out)
        self._read_error(piece, out)
        word = piece.any("finish_reason")
        if word is not None:
            self.finish = word if isinstance(word, str) else str(word)
            self.has_finish = True
        self.extra = merge_extensions(self.extra, piece.rest(NAME))

    def _read_error(self, piece: JsonObject, out: list[Event]) -> None:
        raw = piece.peek("error")
        if raw is not None and bytes(raw) not in (b"{}", b'""'):
            out.append(read_failure(raw))

    def _read_message(self, message: JsonObject, out: list[Event], *, is_complete: bool) -> None:
        message.drop("role", "index")
        self._read_reasoning(message, out)
        signature = read_thought_signature(message)
        self._read_content(message, out, is_complete=is_complete)
        refusal = message.string("refusal")
        if refusal:
            if self.open < 0 or self.open_kind != "refusal":
                self._begin(Refusal(text=refusal), out, "refusal")
            else:
                out.append(Delta(self.index, self.open, refusal))
        elif refusal is not None and is_complete:
            message.keep("refusal", Raw(b'""'))
        if signature is not None:
            if self.open < 0 or self.open_kind != "text":
                self._begin(Text(text=""), out, "text")
            out.append(SignatureDelta(self.index, self.open, signature))
        self._read_annotations(message, out)
        self._read_audio(message, out)
        for image in take_objects(message, "images"):
            image.drop("index")
            self._whole(read_image(image), out)
        self._read_calls(message, out, is_complete=is_complete)
        rest = message.rest(NAME)
        if rest is not None:
            self._message_extra = merge_extensions(self._message_extra, rest)

    def _read_content(self, message: JsonObject, out: list[Event], *, is_complete: bool) -> None:
        raw = message.peek("content")
        if raw is None:
            message.drop("content")
            return
        if bytes(raw)[:1] != b"[":
            text = message.string("content")
            if text:
                self.add_text(text, out)
            elif is_complete:
                # An empty string says nothing, but it was there: it goes back where it came from.
                message.keep("content", raw)
            return
        path = message.at("content")
        for index, item in enumerate(message.items("content") or ()):
            if bytes(item)[:1] == b'"':
                item = Raw(b'{"text":%b}' % bytes(item))
            part = JsonObject.parse(item, f"{path}[{index}]", UPSTREAM)
            kind = part.any("type")
            if kind == "thinking":
                self._add_signed(read_thinking(part), "thinking", out)
            elif kind in (None, "text"):
                text = part.string("text")
                if text:
                    self.add_text(text, out)
            elif kind == "image_url":
                self._whole(read_image(part), out)
            elif kind == "refusal":
                self._whole(Refusal(text=part.string("refusal") or ""), out)
            else:  # references and other marks in the text (Mistral)
                self._whole(Native(dialect=NAME, kind=str(kind), raw=item), out)

    # -- thoughts

    def _read_reasoning(self, message: JsonObject, out: list[Event]) -> None:
        entries = take_objects(message, "reasoning_details")
        blocks = None if entries else take_objects(message, "thinking_blocks")
        if entries:
            self._read_entries(message, entries, out)
            return
        if blocks:
            for block in blocks:
                self._add_signed(read_block(block), "thinking_blocks", out)
            return
        for name in STRINGS:
            raw = message.peek(name)
            if raw is not None and bytes(raw)[:1] == b'"' and bytes(raw) != b'""':
                self.add_thoughts(message.string(name) or "", name, out)
                break

    def _read_entries(self, message: JsonObject, entries: list[JsonObject], out: list[Event]) -> None:
        for entry in entries:
            form = entry.peek("format")
            key = b"%b/%b" % (bytes(entry.peek("type") or b""), bytes(entry.peek("index") or b""))
            if form is not None and is_gateway_format(bytes(form)[1:-1].decode("utf-8", "replace")):
                message.drop(*STRINGS)
            part = read_entry(entry)
            if self.thoughts and part.text == "".join(self.thoughts):
                self._sign(part, out)
            else:
                self._add_signed(part, key.decode("utf-8", "replace"), out)
            self.thoughts = []

    def _sign(self, part: Reasoning, out: list[Event]) -> None:
        """An entry repeats the thoughts that came as plain text just before, to sign them: that is how gateways write
        a stream."""
        if part.encrypted is None and self.open >= 0 and self.open_kind in STRINGS:
            if part.signature is not None:
                out.append(SignatureDelta(self.index, self.open, part.signature))
            out.append(PartEnd(self.index, self.open, part.extra))
            self.open = -1
        else:
            self._whole(msgspec.structs.replace(part, text=""), out)

    def _add_signed(self, part: Reasoning, key: str, out: list[Event]) -> None:
        """A thought, or more of the open one of the same key."""
        if part.encrypted is not None or self.open < 0 or self.open_kind != key:
            self._begin(part, out, "" if part.encrypted is not None else key)
            if part.encrypted is not None:
                out.append(PartEnd(self.index, self._next - 1))
            return
        if part.text:
            out.append(Delta(self.index, self.open, part.text))
        if part.signature is not None:
            out.append(SignatureDelta(self.index, self.open, part.signature))

    # -- citations, sound

    def _read_annotations(self, message: JsonObject, out: list[Event]) -> None:
        for note in take_objects(message, "annotations"):
            citation = read_citation(note)
            if self.open >= 0 and self.open_kind == "text":
                out.append(CitationDelta(self.index, self.open, citation))
            else:
                self._citations.append(citation)

    def _read_audio(self, message: JsonObject, out: list[Event]) -> None:
        raw = message.peek("audio")
        audio = message.object("audio")
        if audio is None or raw is None:
            return
        name, data, transcript = audio.string("id"), audio.string("data") or "", audio.string("transcript") or ""
        if self.open < 0 or self.open_kind != "audio":
            if not (name or data or transcript):
                message.keep("audio", raw)
                return
            self._audio_extra = None
            self._begin(Audio(source=Source(data=""), id=name or None), out, "audio")
        if data or transcript:
            out.append(AudioDelta(self.index, self.open, data, transcript))
        self._audio_extra = merge_extensions(self._audio_extra, audio.rest(NAME))

    # -- tool calls

    def _read_calls(self, message: JsonObject, out: list[Event], *, is_complete: bool) -> None:
        for call in take_objects(message, "tool_calls"):
            self._read_call(call, out)
        raw = message.peek("function_call")
        legacy = message.object("function_call")
        if legacy is None or raw is None:
            return
        name = legacy.string("name")
        text = legacy.string("arguments")
        if not name and not text:
            if is_complete:
                message.keep("function_call", raw)
            return
        called = self._by_index.get(-1)
        if called is None:
            self._close(out)
            called = self._by_index[-1] = _Call()
            self._calls.append(called)
        called.name = called.name or name or ""
        self._add_arguments(called, text or "", extended(None, form="function_call"), out)

    def _read_call(self, piece: JsonObject, out: list[Event]) -> None:
        call_id = piece.string("id") or ""
        kind = piece.string("type") or ""
        signature = read_thought_signature(piece)
        member = "custom" if kind == "custom" else "function"
        inner = piece.object(member)
        piece.drop("custom")  # Snowflake adds an empty one to each
        name = (None if inner is None else inner.string("name")) or ""
        text = "" if inner is None else _arguments(inner, "input" if kind == "custom" else "arguments")
        number = piece.integer("index")
        call = self._find_call(number, call_id, name, out)
        call.given_id = call.given_id or call_id
        call.call_id = call.call_id or call_id
        call.name = call.name or name
        call.is_custom = call.is_custom or kind == "custom"
        extra = piece.rest(NAME)
        if signature is not None and not call.has_begun:
            call.signature = signature
        elif signature is not None:
            out.append(SignatureDelta(self.index, call.part, signature))
        self._add_arguments(call, text, extra, out)

    def _find_call(self, number: int | None, call_id: str, name: str, out: list[Event]) -> _Call:
        if number is not None:
            found = self._by_index.get(number)
        elif call_id:
            found = next((call for call in self._calls if call.call_id == call_id), None)
        else:
            found = None if name or not self._calls else self._calls[-1]
        # Some hosts give every whole call the same index, some without an id.
        if found is not None and name and found.name:
            is_other = call_id != found.given_id if call_id else not found.given_id and _is_whole(found)
            if is_other:
                found = None
        if found is None:
            if self._calls:
                self._close_call(self._calls[-1], out, is_end=False)
            self._close(out)
            found = _Call()
            self._calls.append(found)
            if number is not None:
                self._by_index[number] = found
        return found

    def _add_arguments(self, call: _Call, text: str, extra: Extension | None, out: list[Event]) -> None:
        if call.is_closed:
            return
        if text:
            call.arguments.append(text)
        if call.has_begun:
            if text:
                out.append(Delta(self.index, call.part, text))
        elif call.name:
            self._begin_call(call, extra, out)

    def _begin_call(self, call: _Call, extra: Extension | None, out: list[Event]) -> None:
        call.has_begun = True
        call.call_id = call.call_id or self._answer.spare_id(self.index, len(self._calls), call.name)
        content = ToolCall(
            id=call.call_id,
            name=call.name,
            arguments="".join(call.arguments),
            is_custom=call.is_custom,
            signature=call.signature,
            extra=extra,
        )
        call.part = self._begin(content, out, "")

    def _close_call(self, call: _Call, out: list[Event], *, is_end: bool) -> None:
        """End a call: at the end of the answer, or before it when its arguments are whole."""
        if call.is_closed or (not is_end and (not call.has_begun or call.is_custom or not _is_whole(call))):
            return
        if not call.has_begun:
            if not call.arguments and not call.call_id:
                return
            self._begin_call(call, None, out)
        if not call.is_custom and not call.arguments:
            out.append(Delta(self.index, call.part, "{}"))
        call.is_closed = True
        out.append(PartEnd(self.index, call.part))

    # -- the rest

    def _read_logprobs(self, piece: JsonObject, out: list[Event]) -> None:
        raw = piece.peek("logprobs")
        if raw is None or bytes(raw)[:1] != b"{":
            return
        logprobs = piece.object("logprobs")
        assert logprobs is not None
        has_tokens = False
        for name in ("content", "refusal"):
            tokens = tuple(read_logprob(token) for token in logprobs.objects(name) or ())
            if tokens:
                has_tokens = True
                out.append(LogprobsDelta(self.index, tokens, is_refusal=name == "refusal"))
        if not has_tokens:
            piece.keep("logprobs", raw)

    def end(self, out: list[Event]) -> None:
        """The choice is complete."""
        if self._citations:
            self._begin(Text(text=""), out, "text")
            out += [CitationDelta(self.index, self.open, citation) for citation in self._citations]
            self._citations = []
        self._close(out)
        for call in self._calls:
            self._close_call(call, out, is_end=True)
        extra = self.extra
        if self._message_extra is not None:
            extra = extended(extra, message=self._message_extra.members)
        reason = read_finish(self.finish, has_calls=bool(self._calls))
        out.append(Finish(choice=self.index, reason=reason, native=self.finish, dialect=NAME, extra=extra))


class AnswerReader:
    """Reads the chunks of one stream, or one complete answer."""

    def __init__(self) -> None:
        self.choices: dict[int, ChoiceReader] = {}
        self.has_started = False
        self._id = ""

    def read(self, chunk: JsonObject, out: list[Event], *, is_complete: bool = False) -> None:
        """A chunk, or a complete answer. Raises GatewayError (upstream_bad_response)."""
        error = chunk.peek("error")
        if error is not None and bytes(error) not in (b"{}", b'""'):
            out.append(read_failure(error))
            return
        choices = chunk.objects("choices")
        if choices is None and not chunk.has("usage"):
            raise chunk.error("choices", "is missing")
        self._read_usage(chunk, out)
        chunk.drop(*_PADDING)
        if not self.has_started and (choices or is_complete):
            self._start(chunk, out)
        for piece in choices or ():
            index = piece.integer("index") or 0
            choice = self.choices.get(index)
            if choice is None:
                choice = self.choices[index] = ChoiceReader(index, self)
            choice.read(piece, out)

    def _start(self, chunk: JsonObject, out: list[Event]) -> None:
        self.has_started = True
        self._id = chunk.string("id") or ""
        model = chunk.string("model") or ""
        raw = chunk.any("created")
        created = int(raw) if isinstance(raw, int | float) and not isinstance(raw, bool) else None
        out.append(Start(id=self._id, model=model, created=created, extra=chunk.rest(NAME)))

    def _read_usage(self, chunk: JsonObject, out: list[Event]) -> None:
        raw = chunk.raw("usage")
        usage = None if raw is None else read_usage(raw)
        if usage is None and (groq := chunk.peek("x_groq")) is not None and bytes(groq)[:1] == b"{":
            raw = JsonObject.parse(groq, "x_groq", UPSTREAM).raw("usage")
            usage = None if raw is None else read_usage(raw)
        if usage is not None and raw is not None:
            usage = with_service(usage, chunk.peek("service_tier"))
            out.append(UsageReport(usage=usage, extra=JsonObject.parse(raw, "usage", UPSTREAM).rest(NAME)))

    def spare_id(self, choice: int, number: int, name: str) -> str:
        """An id for a call whose host gave none: always the same for the same answer, another for each other call."""
        digest = sha256(f"{self._id}/{choice}/{number}/{name}".encode("utf-8", "replace")).hexdigest()
        return f"call_{digest[:24]}"

    def end(self, out: list[Event]) -> None:
        """The answer is complete."""
        for index in sorted(self.choices):
            self.choices[index].end(out)


def _arguments(inner: JsonObject, name: str) -> str:
    raw = inner.peek(name)
    if raw is None:
        return ""
    if bytes(raw)[:1] in (b"{", b"["):
        return bytes(raw).decode("utf-8", "replace")
    return inner.string(name) or ""


def _is_whole(call: _Call) -> bool:
    """Whether the arguments so far are a whole JSON object."""
    if not call.arguments or not call.arguments[-1].rstrip().endswith("}"):
        return False
    try:
        msgspec.json.decode("".join(call.arguments), type=Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
