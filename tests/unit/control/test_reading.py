"""Reading again: only what changed and came to rest, only what is right, and every reason at once."""

from __future__ import annotations

import io
from collections.abc import Callable, Hashable

import msgspec

from gatewright.config.documents import Gateway
from gatewright.config.load import Loaded, load
from gatewright.config.problems import ConfigError, InvalidConfig
from gatewright.config.transport import decode
from gatewright.control.reading import Reading
from gatewright.core.messages import Apply, Rejected
from gatewright.telemetry.log import Log

GOOD = (
    b"listen: 127.0.0.1:8080\n"
    b'providers: {up: {type: openai, key: "k"}}\n'
    b"models: {m: {targets: [{provider: up, model: x}]}}\n"
    b"timeouts: {drain_s: 12.5}\n"
)


class FakeSource:
    """A source in memory; its fingerprint is whatever the test says."""

    def __init__(self, data: bytes = GOOD) -> None:
        self.data: bytes | None = data
        self.stamp: Hashable = 1
        self.loads = 0

    def fingerprint(self) -> Hashable:
        return self.stamp

    def load(self) -> Loaded:
        self.loads += 1
        if self.data is None:
            raise InvalidConfig([ConfigError("", "cannot be read: No such file or directory", "g.yaml")])
        return load([("g.yaml", self.data)], lambda scheme, name: None)


def build(
    source: FakeSource, check: Callable[[Gateway], Gateway] = lambda document: document
) -> tuple[Reading, io.StringIO]:
    log = io.StringIO()
    return Reading(source, check, Log("control", stream=log)), log


def test_a_good_document_is_applied_with_its_drain_time() -> None:
    reading, _ = build(FakeSource())
    answer = reading.read()
    assert isinstance(answer, Apply)
    assert answer.drain_s == 12.5
    assert list(decode(answer.document).models) == ["m"]


def test_reading_the_same_again_gives_the_same_bytes() -> None:
    reading, _ = build(FakeSource())
    assert reading.read() == reading.read()


def test_a_document_that_does_not_load_is_rejected_with_every_reason() -> None:
    reading, _ = build(FakeSource(GOOD + b"limitz: 1\ncors: 2\n"))
    answer = reading.read()
    assert isinstance(answer, Rejected)
    assert [error.partition(": ")[0] for error in answer.errors] == ["g.yaml:5", "g.yaml:6"]


def test_what_only_the_trial_build_finds_gets_its_line() -> None:
    def check(document: Gateway) -> Gateway:
        raise InvalidConfig([ConfigError("models.m.targets[0].model", "no such model")])

    reading, _ = build(FakeSource(), check)
    assert reading.read() == Rejected(["g.yaml:3: models.m.targets[0].model: no such model"])


def test_what_the_check_returns_is_what_is_served() -> None:
    reading, _ = build(FakeSource(), lambda document: msgspec.structs.replace(document, anonymous=True))
    answer = reading.read()
    assert isinstance(answer, Apply)
    assert decode(answer.document).anonymous is True


def test_a_missing_file_is_rejected() -> None:
    source = FakeSource()
    source.data = None
    reading, _ = build(source)
    assert reading.read() == Rejected(["g.yaml: cannot be read: No such file or directory"])


def test_the_source_is_read_once_it_has_come_to_rest() -> None:
    source = FakeSource()
    reading, _ = build(source)
    assert not reading.is_changed(), "seen for the first time"
    assert reading.is_changed(), "and so at rest"
    reading.read()
    assert not reading.is_changed()
    source.stamp = 2
    assert not reading.is_changed(), "it may still be written"
    source.stamp = 3
    assert not reading.is_changed()
    assert reading.is_changed()


def test_a_refused_document_is_not_read_again_until_it_changes() -> None:
    source = FakeSource(b"listen: 3\n")
    reading, _ = build(source)
    assert isinstance(reading.read(), Rejected)
    assert not reading.is_changed()
    assert not reading.is_changed()


def test_a_change_while_reading_is_not_missed() -> None:
    source = FakeSource()

    def check(document: Gateway) -> Gateway:
        source.stamp = 2
        return document

    reading, _ = build(source, check)
    reading.read()
    assert not reading.is_changed()
    assert reading.is_changed()


def test_what_needs_a_restart_is_pointed_out_once() -> None:
    source = FakeSource()
    reading, log = build(source)
    served = reading.read()
    assert isinstance(served, Apply)
    reading.served = msgspec.structs.replace(decode(served.document), listen="127.0.0.1:9999")
    reading.read()
    reading.read()
    lines = [line for line in log.getvalue().splitlines() if "until the gateway is started again" in line]
    assert len(lines) == 1
    assert "g.yaml:1: listen: is now 127.0.0.1:8080, but 127.0.0.1:9999 is used" in lines[0]


def test_what_is_opened_at_the_start_is_pointed_out_too() -> None:
    reading, log = build(FakeSource())
    served = reading.read()
    assert isinstance(served, Apply)
    now = decode(served.document)
    counters = msgspec.structs.replace(now.counters, store="redis")
    reading.served = msgspec.structs.replace(now, counters=counters)
    reading.read()
    reading.served = now
    reading.read()
    lines = [line for line in log.getvalue().splitlines() if "when the gateway is started again" in line]
    assert len(lines) == 1
    assert "counters: has changed" in lines[0]
