"""Providers that fail in every way before a client of another dialect: the documented error in the client's own form,
in time, never an empty success and never a finish behind a failure; and a healthy pool afterwards.

The cases of a pair run at once, each known to the provider by the text of its message; what they came to is compared
in the end, and their kinds with the access log.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, NamedTuple

import client_dialects
import pytest
import vendors
from client_dialects import Client, Seen
from fault_cases import FAULTS, RESPONSE_BYTES
from suite import UPSTREAM_KEY, build_config, run_gateway
from vendors import ERRORS, TOLD, VENDORS, Vendor, VendorError

from gatewright.core.errors import KINDS, Kind
from gatewright.testing import answers
from gatewright.testing.client import PeerClosed
from gatewright.testing.gateway import GatewayProcess, free_port
from gatewright.testing.received import Received
from gatewright.testing.steps import Close, HalfClose, Pause, Repeat, Reset, Send, Stall, Step
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

TIMEOUT_S = 1.0
IN_TIME_S = 5.0
AT_ONCE = 48
Pair = tuple[Client, Vendor]
PAIRS: list[Pair] = [
    *((client, vendors.OPENAI) for client in client_dialects.CLIENTS if client.dialect != "openai.chat"),
    *((client_dialects.OPENAI, vendor) for vendor in VENDORS if vendor is not vendors.OPENAI),
    (client_dialects.ANTHROPIC, vendors.BEDROCK),
    (client_dialects.BEDROCK, vendors.ANTHROPIC),
]
"""Every dialect at each side, and the two framings into each other."""
each_pair = pytest.mark.parametrize(
    ("client", "vendor"), PAIRS, ids=[f"{client.dialect}-{vendor.name}" for client, vendor in PAIRS]
)
STATUSES: dict[str, dict[str, int]] = {
    "anthropic.messages": {"upstream_overloaded": 529},
    "bedrock.converse": {
        "upstream_timeout": 408,
        "upstream_bad_response": 424,
        "upstream_cut": 424,
        "upstream_failed": 500,
        "upstream_reset": 500,
        "upstream_credential_rejected": 500,
        "upstream_connect_failed": 503,
    },
}
"""Where clients of a dialect know another status for a kind than the table of errors."""
_MARK = re.compile(rb"case (\d+)\.")


class Case(NamedTuple):
    """What a provider does, and what must come of it."""

    name: str
    steps: tuple[Step, ...]
    kinds: tuple[str, ...]
    stream: bool = False
    is_begun: bool = False
    """Whether the client has seen something by then, so that it is told in the stream."""
    status: int | None = None
    """Where that is not the kind's."""
    says: str = ""
    retry_after: str | None = None
    may_finish: bool = False
    """Whether the provider had said all that makes an answer, so that the client may get it as well."""


Build = Callable[[Vendor], list[Case]]
"""What a kind of provider can do wrong in one respect."""


class Result(NamedTuple):
    """What became of a case."""

    id: str
    status: int
    problems: list[str]


class Parts(NamedTuple):
    """The gateway, and the one server that plays every provider."""

    gateway: GatewayProcess
    upstream: ScriptedUpstream


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    """One gateway for the whole suite, with short times and a provider of each kind."""
    with ExitStack() as stack:
        upstream = stack.enter_context(ScriptedUpstream())
        root = upstream.url.removesuffix("/v1")
        times = {"connect_s": TIMEOUT_S, "first_byte_s": TIMEOUT_S, "idle_s": TIMEOUT_S}
        providers: dict[str, dict[str, Any]] = {
            vendor.name: {"type": vendor.name, "url": f"{root}/{vendor.name}{vendor.root}", "timeouts": times}
            for vendor in VENDORS
        }
        providers["refused"] = {"url": f"http://127.0.0.1:{free_port()}/v1"}
        models = {name: {"targets": [{"provider": name, "model": "up"}]} for name in providers}
        config = build_config(providers, models, limits={"response_bytes": RESPONSE_BYTES})
        yield Parts(stack.enter_context(run_gateway(config)), upstream)


def _run(parts: Parts, build: Build, pairs: Sequence[Pair] = PAIRS) -> None:
    """Play all cases of all pairs at once; raises AssertionError with every one that came to something else."""
    calls = [(client, vendor, case) for client, vendor in pairs for case in build(vendor)]

    def play(request: Received) -> tuple[Step, ...]:
        found = _MARK.search(request.body)
        return calls[int(found.group(1))][2].steps if found else _play_well(request)

    parts.upstream.reset()
    parts.upstream.always(play)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        results = list(threads.map(lambda index: _call(parts, index, *calls[index]), range(len(calls))))
    ids = {result.id for result in results if result.id}
    parts.gateway.wait_for(lambda: ids <= {line["id"] for line in parts.gateway.access_log()})
    kinds = {line["id"]: line.get("kind") for line in parts.gateway.access_log()}
    wrong = [
        f"{client.dialect} before {vendor.name}, {'stream' if case.stream else 'whole'}, {case.name}: {problem}"
        for (client, vendor, case), result in zip(calls, results, strict=True)
        for problem in (*result.problems, *_check_kind(case, kinds.get(result.id)))
    ]
    assert not wrong, "\n".join(wrong)
    begun = [result.status for (*_, case), result in zip(calls, results, strict=True) if case.is_begun]
    assert begun.count(200) >= len(begun) / 2
    for client, vendor in pairs:
        _check_health(parts, client, vendor)
    # The pool may keep what is idle and sound.
    parts.upstream.wait_for(lambda: parts.upstream.open_connections <= AT_ONCE)
    assert parts.upstream.errors == []


def _play_well(request: Received) -> tuple[Step, ...]:
    """The answer of a healthy provider, known by its path."""
    name = request.target.split("/")[1]
    return next(vendor.play(request) for vendor in VENDORS if vendor.name == name)


def _call(parts: Parts, index: int, client: Client, vendor: Vendor, case: Case) -> Result:
    request = client.render(vendor.name, f"case {index}.", stream=case.stream)
    with parts.gateway.connect(timeout_s=IN_TIME_S) as connection:
        start_s = time.monotonic()
        try:
            answer = connection.send(request).receive()
        except (TimeoutError, PeerClosed) as error:
            return Result("", 0, [f"no answer: {error!r}"])
        took_s = time.monotonic() - start_s
    problems = [] if took_s < IN_TIME_S else [f"took {took_s:.1f} s"]
    if UPSTREAM_KEY.encode() in answer.body:
        problems.append("the key came out")
    if answer.header("retry-after") != case.retry_after:
        problems.append(f"retry-after is {answer.header('retry-after')}")
    try:
        seen = client.read(answer, stream=case.stream)
    except (AssertionError, LookupError, TypeError, ValueError) as error:
        problems.append(f"not in form: {answer.status} {answer.body[-300:]!r}: {error!r}")
    else:
        problems += _check_seen(client, case, seen)
    return Result(answer.header("x-request-id") or "", answer.status, problems)


def _check_seen(client: Client, case: Case, seen: Seen) -> Iterator[str]:
    if case.may_finish and seen.error is None and seen.is_finished and seen.text:
        return
    if seen.is_finished:
        yield f"a finish behind a failure: {seen}"
    if not seen.error:
        yield f"no error: {seen}"
    elif case.says not in seen.error:
        yield f"says something else: {seen.error}"
    own = STATUSES.get(client.dialect, {})
    statuses = {case.status or own.get(kind, KINDS[Kind(kind)].status) for kind in case.kinds}
    if case.is_begun:
        # What was read together with its failure is not begun: then it is an answer of the gateway's own as well.
        statuses.add(200)
    if seen.status not in statuses:
        yield f"status {seen.status} instead of {statuses}: {seen.error}"


def _check_kind(case: Case, kind: str | None) -> Iterator[str]:
    if kind not in case.kinds and not (case.may_finish and kind is None):
        yield f"kind {kind} instead of {case.kinds}"


def _check_health(parts: Parts, client: Client, vendor: Vendor) -> None:
    for stream in (False, True):
        with parts.gateway.connect() as connection:
            seen = client.read(connection.send(client.render(vendor.name, stream=stream)).receive(), stream=stream)
        assert (seen.text, seen.error, seen.is_finished) == (vendors.TEXT, None, True), seen


def _both(case: Case) -> tuple[Case, Case]:
    return case, case._replace(stream=True)


@each_pair
def test_a_healthy_provider_is_understood(client: Client, vendor: Vendor, parts: Parts) -> None:
    parts.upstream.reset()
    parts.upstream.always(_play_well)
    _check_health(parts, client, vendor)


@pytest.mark.parametrize("client", client_dialects.CLIENTS, ids=lambda client: str(client.dialect))
def test_a_provider_that_cannot_be_reached(client: Client, parts: Parts) -> None:
    for stream in (False, True):
        with parts.gateway.connect() as connection:
            answer = connection.send(client.render("refused", stream=stream)).receive()
        own = STATUSES.get(client.dialect, {})
        assert answer.status == own.get("upstream_connect_failed", 502)
        assert "refused" in (client.read(answer, stream=stream).error or "")


def _http_faults(vendor: Vendor) -> list[Case]:
    return [
        Case(fault.name, fault.steps, (fault.code,), stream)
        for fault in FAULTS
        if fault.code.startswith("upstream_") and fault.status != 529 and "overloaded" not in fault.name
        for stream in (False, True)
        if not (stream and fault.name == "a stream nobody asked for")
    ]


def _vendor_errors(vendor: Vendor) -> list[Case]:
    return [case for error in ERRORS[vendor.name] for case in _both(_expect(error))]


def _expect(error: VendorError) -> Case:
    return Case(
        error.name,
        error.steps(),
        (error.kind,),
        status=error.passed_status,
        says=error.says,
        retry_after=error.retry_after,
    )


NOTHING: dict[str, tuple[bytes, ...]] = {
    "openai_compatible": (b'{"choices":[]}', b'{"choices":null}', b'{"choices":5}', b'{"choices":[5]}'),
    "anthropic": (b'{"type":"message"}', b'{"content":null}', b'{"content":"x"}', b'{"content":[5]}'),
    "gemini": (b'{"candidates":5}', b'{"candidates":[5]}', b'{"candidates":null}', b'{"usageMetadata":{}}'),
    "bedrock": (b'{"output":null}', b'{"output":{}}', b'{"output":{"message":5}}', b'{"stopReason":"end_turn"}'),
}
"""Answers that are JSON objects and say nothing."""


def _empty_answers(vendor: Vendor) -> list[Case]:
    bodies = [*NOTHING[vendor.name], b"{}", b"null", vendor.answer[:-4]]
    cases = [Case(f"{body[:40]!r}", answers.reply(200, body), ("upstream_bad_response",)) for body in bodies]
    cases.append(Case("HTML", answers.reply(200, b"<html>", headers=[("content-type", "text/html")]), cases[0].kinds))
    if vendor is vendors.OPENAI:  # hosts that answer 200 and tell of a failure inside
        told = answers.error("vendor words", "server_error")
        cases.append(Case("a failure", answers.reply(200, told), ("upstream_failed",), says="vendor words"))
    return [each for case in cases for each in _both(case)]


# Streams.

ENDINGS: tuple[tuple[str, tuple[Step, ...], str], ...] = (
    ("ended", (Send(answers.LAST_CHUNK),), "upstream_cut"),
    ("closed", (Close(),), "upstream_cut"),
    ("half-closed", (HalfClose(), Stall()), "upstream_cut"),
    ("reset", (Pause(0.1), Reset()), "upstream_cut"),
    ("stalled", (Stall(),), "upstream_timeout"),
    ("broken chunk", (Pause(0.05), Send(b"xyz\r\n"), Stall()), "upstream_cut"),
)


def _breaks_between_events(vendor: Vendor) -> list[Case]:
    return [
        _broken(f"{name} after {count} events", vendor, count, b"", ending, kind)
        for count in range(len(vendor.events))
        for name, ending, kind in ENDINGS
    ]


def _breaks_within_events(vendor: Vendor) -> list[Case]:
    return [
        _broken(f"{name} {at} bytes behind {count} events", vendor, count, event[:at], ending, kind)
        for count, event in enumerate(vendor.events)
        for at in (1, len(event) // 2, len(event.rstrip()) - 1)
        for name, ending, kind in ENDINGS[:2]
    ]


def _broken(name: str, vendor: Vendor, count: int, rest: bytes, ending: tuple[Step, ...], kind: str) -> Case:
    sent = b"".join(map(answers.chunk, (*vendor.events[:count], rest)))
    # Before anything of substance the gateway has said nothing, and what it says then is an answer of its own.
    is_begun = count >= vendor.begun_after
    kinds = (kind,) if is_begun else (kind, "upstream_bad_response")
    return Case(
        name,
        (Send(vendor.head() + sent), *ending),
        kinds,
        stream=True,
        is_begun=is_begun,
        may_finish=count >= vendor.finished_after,
    )


def _failures_in_streams(vendor: Vendor) -> list[Case]:
    cases = []
    for count in (0, vendor.begun_after, vendor.finished_after - 1):
        for name, event, kind in TOLD[vendor.name]:
            sent = Send(vendor.head() + b"".join(map(answers.chunk, vendor.events[:count])))
            more = Send(b"".join(map(answers.chunk, vendor.events)))
            for ending in (Send(answers.LAST_CHUNK), Close(), more):
                kinds = (kind,) if kind else ("upstream_bad_response", "upstream_cut")
                steps = (sent, Pause(0.03), Send(answers.chunk(event)), ending)
                says = "vendor words" if b"vendor words" in event and kind != "upstream_bad_response" else ""
                begun = count >= vendor.begun_after
                cases.append(Case(f"{name} after {count}", steps, kinds, stream=True, is_begun=begun, says=says))
    return cases


def _wrong_streams(vendor: Vendor) -> list[Case]:
    begun = b"".join(map(answers.chunk, vendor.events[: vendor.begun_after]))
    other = vendors.BEDROCK if vendor is not vendors.BEDROCK else vendors.ANTHROPIC
    wrong = b"".join(map(answers.chunk, other.events))
    endless = Repeat(answers.chunk(b"data: " + b"x" * 1_048_576), 70)
    bad = ("upstream_bad_response", "upstream_cut")
    cases = [
        Case("an event without end", (Send(vendor.head() + begun), endless), bad, is_begun=True),
        Case("another vendor's stream", (Send(vendor.head() + wrong + answers.LAST_CHUNK),), bad),
        Case("HTML", (Send(vendor.head() + answers.chunk(b"<html></html>\n\n") + answers.LAST_CHUNK),), bad),
        Case("no event", (Send(vendor.head() + answers.LAST_CHUNK),), bad),
        Case(
            "gzip claimed",
            (Send(vendor.head(**{"content-encoding": "gzip"}) + begun + answers.LAST_CHUNK),),
            (*bad, "upstream_reset"),
        ),
    ]
    return [case._replace(stream=True) for case in cases]


@each_pair
def test_a_stream_may_come_in_any_pieces(client: Client, vendor: Vendor, parts: Parts) -> None:
    body = b"".join(vendor.events)
    scripts: list[tuple[Step, ...]] = [
        (Send(vendor.head()), *(Send(answers.chunk(body[at : at + size])) for at in range(0, len(body), size)))
        for size in (1, 7, 64, len(body))
    ]
    parts.upstream.reset()
    for script in scripts:
        parts.upstream.next(*script, Send(answers.LAST_CHUNK))
        with parts.gateway.connect() as connection:
            answer = connection.send(client.render(vendor.name, stream=True)).receive()
        seen = client.read(answer, stream=True)
        assert (seen.text, seen.error, seen.is_finished) == (vendors.TEXT, None, True), seen


def _huge_answers(vendor: Vendor) -> list[Case]:
    named = {fault.name: fault.steps for fault in FAULTS}
    forms = ("100 MB announced", "100 MB chunked", "100 MB until close", "100 MB in gzip")
    return [Case(name, named[name], ("upstream_bad_response",)) for name in forms]


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (_http_faults, 100),
        (_vendor_errors, 40),
        (_empty_answers, 14),
        (_breaks_between_events, 24),
        (_breaks_within_events, 24),
        (_failures_in_streams, 45),
        (_wrong_streams, 5),
    ],
)
def test_what_a_provider_does_wrong_is_told_to_every_client(build: Build, count: int, parts: Parts) -> None:
    assert all(len(build(vendor)) >= count for vendor in VENDORS)
    _run(parts, build)


def test_huge_answers_do_not_grow_the_gateway(parts: Parts) -> None:
    (before,) = parts.gateway.workers()
    for _ in range(2):
        for pair in (PAIRS[0], PAIRS[-1]):
            for case in _huge_answers(pair[1]):
                _run(parts, lambda vendor, case=case: [case], [pair])  # type: ignore[misc]
    (after,) = parts.gateway.workers()
    assert after.resident_bytes - before.resident_bytes < 4 * RESPONSE_BYTES
