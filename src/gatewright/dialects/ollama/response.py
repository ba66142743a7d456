"""Complete answers of the Ollama API: one object, the same as the last line of a stream (docs.ollama.com/api/chat)."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from gatewright.core.chat import Extension, Image, Native, Part, Reasoning, Refusal, Text, ToolCall
from gatewright.core.codec import StreamContext
from gatewright.core.errors import Kind
from gatewright.core.events import ChatResponse, Choice, Failure, Finish, TokenLogprob
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.dialects.ollama.clock import parse_time, render_time
from gatewright.dialects.ollama.errors import fault_message
from gatewright.dialects.ollama.message import read_parts, write_call
from gatewright.dialects.ollama.names import NAME, own, read_reason, write_reason
from gatewright.dialects.ollama.usage import take_usage, write_usage
from gatewright.wire.json_object import JsonObject, render_json
from gatewright.wire.tool_arguments import tell_arguments

_BAD = Kind.UPSTREAM_BAD_RESPONSE


def decode_response(body: bytes) -> ChatResponse:
    """The hub's form of an answer. Raises GatewayError (upstream_bad_response) on what no client could read."""
    answer = JsonObject.parse(body, kind=_BAD)
    error = answer.any("error")
    if error:
        return ChatResponse(id="", model="", failure=read_failure(error))
    model = answer.string("model") or ""
    raw_time = answer.peek("created_at")
    moment = answer.string("created_at")
    message = answer.object("message")
    if message is None:
        raise answer.error("message", "is missing")
    message.drop("role")
    parts = read_parts(message, call_seed(moment))
    logprobs = read_logprobs(answer)
    report = take_usage(answer)
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    failure: Failure | None = None
    finish: Finish | None = None
    if answer.boolean("done") is False:
        failure = CUT
    else:
        finish = take_finish(answer, message.rest(NAME), has_calls=has_calls)
    return ChatResponse(
        id="",
        model=model,
        created=parse_time(moment),
        choices=(Choice(parts=parts, finish=finish, logprobs=logprobs),),
        usage=None if report is None else report.usage,
        usage_extra=None if report is None else report.extra,
        failure=failure,
        extra=start_extra(raw_time),
    )


CUT = Failure(kind=Kind.UPSTREAM_CUT, message="The provider ended the stream before the answer was complete.")


def read_failure(error: Any) -> Failure:
    """An `error` member inside an answer that began with status 200."""
    return Failure(kind=Kind.UPSTREAM_FAILED, message=fault_message(error) or "it told no reason")


def call_seed(moment: str | None) -> str:
    """What the made-up ids of an answer's calls are made of: the time it began, to the nanosecond."""
    return f"answer{moment or ''}"


def start_extra(raw_time: Raw | None) -> Extension | None:
    """Keeps the fraction of a second that the hub has no place for."""
    return None if raw_time is None else Extension(NAME, {"created_at": raw_time})


def take_finish(answer: JsonObject, message_rest: Extension | None, *, has_calls: bool) -> Finish:
    """The finish told by a line with `done`, with what only this API tells there."""
    finish = read_reason(answer.string("done_reason"), has_calls=has_calls)
    rest = answer.rest(NAME)
    members = {} if rest is None else dict(rest.members)
    if message_rest is not None:
        members["message"] = render_json(message_rest.members)
    if not members:
        return finish
    return Finish(reason=finish.reason, native=finish.native, dialect=NAME, extra=Extension(NAME, members))


def read_logprobs(answer: JsonObject) -> tuple[TokenLogprob, ...]:
    """Take the log probabilities of an answer or a line of it."""
    return tuple([_read_logprob(item) for item in answer.objects("logprobs") or ()])


def _read_logprob(item: JsonObject) -> TokenLogprob:
    spelled = item.items("bytes")
    return TokenLogprob(
        token=item.required_string("token"),
        logprob=item.number("logprob") or 0.0,
        bytes=None if spelled is None else tuple([_byte(raw) for raw in spelled]),
        top=tuple([_read_logprob(other) for other in item.objects("top_logprobs") or ()]),
    )


def _byte(raw: Raw) -> int:
    text = bytes(raw)
    return int(text) if text.isdigit() and len(text) <= 3 else 0


def write_logprob(token: TokenLogprob) -> dict[str, Any]:
    """One token's log probability."""
    written: dict[str, Any] = {"token": token.token, "logprob": token.logprob}
    if token.bytes is not None:
        written["bytes"] = list(token.bytes)
    if token.top:
        written["top_logprobs"] = [write_logprob(other) for other in token.top]
    return written


def encode_response(response: ChatResponse, context: StreamContext) -> bytes:
    """The body of a complete answer to a client. There is one choice; losses are told to the context's report."""
    choice = response.choices[0] if response.choices else Choice()
    if len(response.choices) > 1:
        context.report.note(Feature.N, Outcome.DROPPED, "choices[1]", "the API has one answer")
    message = _write_message(choice.parts, context.report)
    finish = choice.finish
    members = own(finish.extra) if finish is not None else {}
    more = members.pop("message", None)
    if more is not None:
        found = JsonObject.parse(more).rest(NAME)
        message.update({} if found is None else found.members)
    answer: dict[str, Any] = {
        "model": response.model,
        "created_at": write_created(response.created, response.extra, context),
        "message": message,
        "done": True,
    }
    reason = write_reason(finish)
    if reason is not None:
        answer["done_reason"] = reason
    if choice.logprobs:
        answer["logprobs"] = [write_logprob(token) for token in choice.logprobs]
    answer.update(write_usage(response.usage, response.usage_extra))
    return bytes(render_json(answer | members))


def write_created(created: int | None, extra: Extension | None, context: StreamContext) -> Any:
    """`created_at`: as the upstream spelled it if it speaks this API, else by the seconds it told."""
    return own(extra).get("created_at") or render_time(context.created if created is None else created)


def _write_message(parts: tuple[Part, ...], report: LossReport) -> dict[str, Any]:
    texts: list[str] = []
    thoughts: list[str] = []
    images: list[str] = []
    calls: list[dict[str, Any]] = []
    for index, part in enumerate(parts):
        path = f"choices[0].parts[{index}]"
        tell_part(part, path, report)
        match part:
            case Text(text=text) | Refusal(text=text):
                texts.append(text)
            case Reasoning(text=text) if text:
                thoughts.append(text)
            case ToolCall():
                calls.append(write_call(part))
            case Image(source=source) if source.data is not None:
                images.append(source.data)
            case _:
                pass
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts)}
    if thoughts:
        message["thinking"] = "".join(thoughts)
    if images:
        message["images"] = images
    if calls:
        message["tool_calls"] = calls
    return message


def tell_part(part: Part, path: str, report: LossReport) -> None:
    """Tell of what an answer's part loses."""
    match part:
        case Text() if part.citations:
            report.note(Feature.CITATIONS, Outcome.DROPPED, path, "the API has no citations")
        case Refusal():
            report.note(Feature.REFUSAL, Outcome.APPROXIMATED, path, "written as plain words")
        case Reasoning() if part.signature is not None or part.encrypted is not None:
            report.note(Feature.REASONING_REPLAY, Outcome.DROPPED, path, "the API has no place for signatures")
        case ToolCall():
            tell_arguments(part, path, report.note)
        case Native():
            report.note(Feature.NATIVE_TOOLS, Outcome.DROPPED, path, f"a {part.kind} of {part.dialect}")
        case Image(source=source) if source.data is not None:
            pass
        case Text() | Reasoning():
            pass
        case _:
            report.note(Feature.MEDIA_OUTPUT, Outcome.DROPPED, path, "answers hold text and inline images")
