"""Complete answers of Cohere's API, version 2 (docs.cohere.com/reference/chat)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import Extension, Native, Part, Reasoning, Refusal, Text, ToolCall
from gatewright.core.codec import StreamContext
from gatewright.core.errors import Kind
from gatewright.core.events import ChatResponse, Choice, Failure, Finish
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.dialects.cohere.logprobs import read_logprob, write_logprob
from gatewright.dialects.cohere.message import read_assistant, write_assistant
from gatewright.dialects.cohere.names import NAME, own, read_reason, write_reason
from gatewright.dialects.cohere.usage import read_report, write_usage
from gatewright.wire.json_object import JsonObject, render_json
from gatewright.wire.tool_arguments import tell_arguments

_BAD: Final = Kind.UPSTREAM_BAD_RESPONSE
_list: msgspec.json.Decoder[list[Raw]] = msgspec.json.Decoder(list[Raw])


def decode_response(body: bytes) -> ChatResponse:
    """The hub's form of an answer. Raises GatewayError (upstream_bad_response) on what no client could read."""
    answer = JsonObject.parse(body, kind=_BAD)
    ident = answer.string("id") or ""
    message = answer.object("message")
    if message is None:
        raise answer.error("message", "is missing")
    message.drop("role")
    parts, citations = read_assistant(message, _BAD)
    spelled = answer.items("logprobs") or []
    logprobs = tuple([read_logprob(raw, f"logprobs[{index}]") for index, raw in enumerate(spelled)])
    raw_usage = answer.raw("usage")
    report = None if raw_usage is None else read_report(raw_usage)
    native = answer.string("finish_reason")
    failure = read_failure(native, answer.string("error"))
    finish: Finish | None = None
    if failure is None:
        has_calls = any(isinstance(part, ToolCall) for part in parts)
        finish = finished(
            native, has_calls=has_calls, citations=citations, logprobs=spelled, message=message, end=answer
        )
    return ChatResponse(
        id=ident,
        model="",
        choices=(Choice(parts=parts, finish=finish, logprobs=logprobs),),
        usage=None if report is None else report.usage,
        usage_extra=None if report is None else report.extra,
        failure=failure,
    )


def read_failure(native: str | None, error: str | None) -> Failure | None:
    """The failure that an answer's end tells; None when it ended well."""
    if error is None and native not in ("ERROR", "TIMEOUT"):
        return None
    kind = Kind.UPSTREAM_TIMEOUT if native == "TIMEOUT" else Kind.UPSTREAM_FAILED
    return Failure(kind=kind, message=error or f"it ended with {native}", code=native)


def finished(
    native: str | None,
    *,
    has_calls: bool,
    citations: list[Raw],
    logprobs: list[Raw],
    message: JsonObject | None,
    end: JsonObject,
) -> Finish:
    """The finish, with what of the answer only this API has a place for."""
    members: dict[str, Raw] = {}
    if citations:
        members["citations"] = render_json(citations)
    if logprobs:
        members["logprobs"] = render_json(logprobs)
    rest = None if message is None else message.rest(NAME)
    if rest is not None:
        members["message"] = render_json(rest.members)
    more = end.rest(NAME)
    if more is not None:
        members["end"] = render_json(more.members)
    finish = read_reason(native, has_calls=has_calls)
    return msgspec.structs.replace(finish, extra=Extension(NAME, members)) if members else finish


def encode_response(response: ChatResponse, context: StreamContext) -> bytes:
    """The body of a complete answer to a client. There is one choice; losses are told to the context's report."""
    choice = response.choices[0] if response.choices else Choice()
    report = context.report
    if len(response.choices) > 1:
        report.note(Feature.N, Outcome.DROPPED, "choices[1]", "the API has one answer")
    finish = choice.finish
    members = own(finish.extra) if finish is not None else {}
    parts = [shown(part, f"choices[0].parts[{index}]", report) for index, part in enumerate(choice.parts)]
    citations = _list.decode(members.get("citations", b"[]"))
    message = write_assistant([part for part in parts if part is not None], citations)
    message.update(_members(members.get("message")))
    answer: dict[str, Any] = {
        "id": response.id or context.response_id,
        "message": message,
        "finish_reason": "ERROR" if response.failure is not None else write_reason(finish),
    }
    if response.usage is not None:
        answer["usage"] = write_usage(response.usage, response.usage_extra)
    if "logprobs" in members:
        answer["logprobs"] = members["logprobs"]
    elif choice.logprobs:
        answer["logprobs"] = [write_logprob(token) for token in choice.logprobs]
    return bytes(render_json(answer | _members(members.get("end"))))


def _members(raw: Raw | None) -> dict[str, Raw]:
    found = None if raw is None else JsonObject.parse(raw).rest(NAME)
    return {} if found is None else found.members


def shown(part: Part, path: str, report: LossReport) -> Part | None:
    """A part as this API's clients can be shown it; None for one that has no form. Tells of what is lost."""
    match part:
        case Text():
            return part
        case Reasoning():
            if part.signature is not None or part.encrypted is not None:
                report.note(Feature.REASONING_REPLAY, Outcome.DROPPED, path, "the API has no place for signatures")
            return part
        case ToolCall():
            if part.is_custom:
                tell_arguments(part, path, report.note)
            return part
        case Refusal(text=text):
            report.note(Feature.REFUSAL, Outcome.APPROXIMATED, path, "written as plain words")
            return Text(text=text)
        case Native(dialect=dialect, kind=kind):
            if dialect == NAME:
                return part
            report.note(Feature.NATIVE_TOOLS, Outcome.DROPPED, path, f"a {kind} of {dialect}")
        case _:
            report.note(Feature.MEDIA_OUTPUT, Outcome.DROPPED, path, "answers hold text only")
    return None
