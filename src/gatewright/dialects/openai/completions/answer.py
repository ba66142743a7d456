"""Answers of text completions, both ways, whole and streamed (platform.openai.com/docs/api-reference/completions)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gatewright.core.chat import Extension, Refusal, Text
from gatewright.core.codec import StreamContext
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import (
    ChatResponse,
    Choice,
    Delta,
    Event,
    Failure,
    Finish,
    LogprobsDelta,
    PartBegin,
    PartEnd,
    Start,
    TokenLogprob,
    UsageReport,
    fold,
    merge_extensions,
)
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.dialects.openai.chat.read_answer import UPSTREAM
from gatewright.dialects.openai.chat.read_pieces import read_failure
from gatewright.dialects.openai.chat.stream_decoder import ChunkDecoder
from gatewright.dialects.openai.chat.words import own, read_finish, write_finish
from gatewright.dialects.openai.completions.request import NAME
from gatewright.dialects.openai.errors import render_stream_error
from gatewright.dialects.openai.usage import read_usage, render_usage
from gatewright.wire.json_object import JsonObject, on_one_line

_encode = msgspec.json.Encoder().encode


class _ChoiceReader:
    """What one choice says."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.is_open = False
        self.has_finish = False
        self.word: str | None = None
        self.extra: Extension | None = None

    def read(self, piece: JsonObject, out: list[Event], *, is_complete: bool) -> None:
        text = piece.string("text")
        if text and self.is_open:
            out.append(Delta(self.index, 0, text))
        elif text or (is_complete and text is not None):
            self.is_open = True
            out.append(PartBegin(self.index, 0, Text(text=text)))
        raw = piece.peek("logprobs")
        if raw is not None and bytes(raw)[:1] == b"{":
            tokens = read_logprobs(JsonObject.parse(raw, piece.at("logprobs"), UPSTREAM))
            if tokens:
                out.append(LogprobsDelta(self.index, tokens))
                if not is_complete:
                    piece.drop("logprobs")
        word = piece.string("finish_reason")
        if word is not None:
            self.word, self.has_finish = word, True
        self.extra = merge_extensions(self.extra, piece.rest(NAME))

    def end(self, out: list[Event]) -> None:
        if self.is_open:
            out.append(PartEnd(self.index, 0))
        reason = read_finish(self.word, has_calls=False)
        out.append(Finish(choice=self.index, reason=reason, native=self.word, dialect=NAME, extra=self.extra))


class _Reader:
    """Reads the chunks of one stream, or one complete answer."""

    def __init__(self) -> None:
        self.choices: dict[int, _ChoiceReader] = {}
        self._has_started = False

    def read(self, chunk: JsonObject, out: list[Event], *, is_complete: bool = False) -> None:
        error = chunk.peek("error")
        if error is not None:
            out.append(read_failure(error))
            return
        choices = chunk.objects("choices")
        if choices is None and not chunk.has("usage"):
            raise chunk.error("choices", "is missing")
        raw = chunk.raw("usage")
        usage = None if raw is None else read_usage(raw)
        if usage is not None and raw is not None:
            out.append(UsageReport(usage=usage, extra=JsonObject.parse(raw, "usage", UPSTREAM).rest(NAME)))
        if not self._has_started and choices:
            self._start(chunk, out)
        for piece in choices or ():
            index = piece.integer("index") or 0
            choice = self.choices.get(index)
            if choice is None:
                choice = self.choices[index] = _ChoiceReader(index)
            choice.read(piece, out, is_complete=is_complete)

    def _start(self, chunk: JsonObject, out: list[Event]) -> None:
        self._has_started = True
        chunk.drop("object", "obfuscation")
        name, model = chunk.string("id") or "", chunk.string("model") or ""
        out.append(Start(id=name, model=model, created=chunk.integer("created"), extra=chunk.rest(NAME)))

    def end(self, out: list[Event]) -> None:
        if not self.choices:
            message = "The provider's stream ended without an answer"
            out.append(Failure(kind=Kind.UPSTREAM_BAD_RESPONSE, message=message))
        for index in sorted(self.choices):
            self.choices[index].end(out)


def read_logprobs(logprobs: JsonObject) -> tuple[TokenLogprob, ...]:
    """The legacy form: parallel lists of tokens, their log probabilities, and objects of alternatives."""
    tokens = logprobs.strings("tokens") or ()
    values = logprobs.any("token_logprobs")
    tops = logprobs.any("top_logprobs")
    found = []
    for index, token in enumerate(tokens):
        value = _at(values, index)
        top = _at(tops, index)
        others = top.items() if isinstance(top, dict) else ()
        found.append(
            TokenLogprob(
                token=token,
                logprob=_number(value),
                top=tuple(TokenLogprob(token=str(name), logprob=_number(other)) for name, other in others),
            )
        )
    return tuple(found)


def _at(values: Any, index: int) -> Any:
    return values[index] if isinstance(values, list) and index < len(values) else None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def write_logprobs(tokens: Sequence[TokenLogprob], offset: int = 0) -> dict[str, Any]:
    """The legacy form of log probabilities; `offset` is where the first token begins in the text."""
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.token)
    return {
        "tokens": [token.token for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [{other.token: other.logprob for other in token.top} for token in tokens],
        "text_offset": offsets,
    }


def decode_response(body: bytes) -> ChatResponse:
    """Read a complete answer. Raises GatewayError (upstream_bad_response)."""
    reader = _Reader()
    events: list[Event] = []
    reader.read(JsonObject.parse(body, "", UPSTREAM), events, is_complete=True)
    if any(isinstance(event, Failure) for event in events):
        return fold(events)
    if not reader.choices:
        raise GatewayError(UPSTREAM, "The provider's answer is not usable: `choices` is empty.")
    reader.end(events)
    return fold(events)


def _tell(part: Any, report: LossReport) -> None:
    report.note(
        Feature.REASONING_SUMMARY if type(part).__name__ == "Reasoning" else Feature.MEDIA_OUTPUT,
        Outcome.DROPPED,
        "choices.parts",
        "text completions hold only text",
    )


def _word(finish: Finish) -> str | None:
    if finish.dialect == NAME:
        return finish.native
    word = write_finish(finish, NAME)
    return "stop" if word == "tool_calls" else word


def encode_response(response: ChatResponse, context: StreamContext) -> bytes:
    """Write a complete answer for a client."""
    created = response.created if response.created is not None else context.created
    answer: dict[str, Any] = {
        "id": response.id or context.response_id,
        "object": "text_completion",
        "created": created,
        "model": response.model,
        "choices": [_write_choice(choice, context.report) for choice in response.choices],
    }
    if response.usage is not None:
        answer["usage"] = dict(own(response.usage_extra, NAME)) or render_usage(response.usage)
    return _encode({**answer, **own(response.extra, NAME)})


def _write_choice(choice: Choice, report: LossReport) -> dict[str, Any]:
    texts = []
    for part in choice.parts:
        if isinstance(part, Text | Refusal):
            texts.append(part.text)
        else:
            _tell(part, report)
    written = {
        "text": "".join(texts),
        "index": choice.index,
        "logprobs": write_logprobs(choice.logprobs) if choice.logprobs else None,
        "finish_reason": None if choice.finish is None else _word(choice.finish),
    }
    return {**written, **(own(choice.finish.extra, NAME) if choice.finish is not None else {})}


class CompletionDecoder(ChunkDecoder):
    """A streamed answer of an upstream."""

    def __init__(self) -> None:
        super().__init__()
        self._reader = _Reader()

    def read_chunk(self, data: bytes, out: list[Event]) -> None:
        self._reader.read(JsonObject.parse(data, "", UPSTREAM), out)

    def is_finished(self) -> bool:
        choices = self._reader.choices
        return bool(choices) and all(choice.has_finish for choice in choices.values())

    def finish(self, out: list[Event]) -> None:
        self._reader.end(out)


_TAIL: Final = b',"logprobs":null,"finish_reason":null}]}\n\n'


class CompletionEncoder:
    """A streamed answer for a client."""

    def __init__(self, context: StreamContext) -> None:
        self._context = context
        self._head = b""
        self._usage: UsageReport | None = None
        self._silent: set[tuple[int, int]] = set()
        """Parts that are left out."""
        self._written: dict[int, int] = {}
        """Choice → characters of its tokens with log probabilities so far."""
        self._start(Start(id="", model=context.request.model))

    def encode(self, events: Sequence[Event]) -> bytes:
        """See `StreamEncoder.encode`."""
        out: list[bytes] = []
        for event in events:
            match event:
                case Delta():
                    self._write_text(event, out)
                case PartBegin(content=Text() | Refusal() as content):
                    self._write_text(Delta(event.choice, event.part, content.text), out)
                case PartBegin():
                    self._silent.add((event.choice, event.part))
                    _tell(event.content, self._context.report)
                case LogprobsDelta():
                    offset = self._written.get(event.choice, 0)
                    self._written[event.choice] = offset + sum(len(token.token) for token in event.tokens)
                    self._write(event.choice, out, logprobs=write_logprobs(event.tokens, offset))
                case Finish():
                    more = {name: value for name, value in own(event.extra, NAME).items() if name != "logprobs"}
                    self._write(event.choice, out, finish_reason=_word(event), **more)
                case Start():
                    self._start(event)
                case UsageReport():
                    self._usage = event
                case _:
                    pass
        return b"".join(out)

    def end(self) -> bytes:
        """Usage, if the client asked for it, and the closing mark."""
        usage = b""
        if self._usage is not None and self._context.request.include_usage:
            members = dict(own(self._usage.extra, NAME)) or render_usage(self._usage.usage)
            usage = b'%b[],"usage":%b}\n\n' % (self._head, on_one_line(_encode(members)))
        return usage + b"data: [DONE]\n\n"

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """An `error` member, and no closing mark."""
        return render_stream_error(error, request_id)

    def _start(self, start: Start) -> None:
        fixed: dict[str, Any] = {
            "id": start.id or self._context.response_id,
            "object": "text_completion",
            "created": start.created if start.created is not None else self._context.created,
            "model": start.model or self._context.request.model,
            **own(start.extra, NAME),
        }
        self._head = b'data: %b,"choices":' % on_one_line(_encode(fixed))[:-1]

    def _write_text(self, delta: Delta, out: list[bytes]) -> None:
        if delta.text and (delta.choice, delta.part) not in self._silent:
            out.append(b'%b[{"index":%d,"text":%b%b' % (self._head, delta.choice, _encode(delta.text), _TAIL))

    def _write(self, index: int, out: list[bytes], **members: Any) -> None:
        choice = {"index": index, "text": "", "logprobs": None, "finish_reason": None, **members}
        out.append(b"%b[%b]}\n\n" % (self._head, on_one_line(_encode(choice))))
