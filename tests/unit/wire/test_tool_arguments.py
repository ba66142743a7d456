from __future__ import annotations

import pytest

from gatewright.core.chat import ToolCall
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.wire.tool_arguments import arguments_object, is_object, tell_arguments

NEARLY = Outcome.APPROXIMATED


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("{}", True), (' {"a":1e400}', True), ("[]", False), ("null", False), ("{", False), (b"\xff", False), ("", False)],
)
def test_objects(text: str | bytes, is_one: bool) -> None:
    assert is_object(text) is is_one


@pytest.mark.parametrize(
    ("arguments", "is_custom", "written", "loss"),
    [
        ("", False, b"{}", None),
        (" \n", False, b"{}", None),
        ("null", False, b"{}", None),
        ('{"a": 0.10}', False, b'{"a": 0.10}', None),
        ('{"a":"\\ud800"}', False, b'{"a":"\\ud800"}', None),
        ("5", False, b'{"_raw":"5"}', Feature.TOOLS),
        ('{"a":', False, b'{"_raw":"{\\"a\\":"}', Feature.TOOLS),
        ("[" * 3000, False, b'{"_raw":"' + b"[" * 3000 + b'"}', Feature.TOOLS),
        ('say "hi"', True, b'{"input":"say \\"hi\\""}', Feature.CUSTOM_TOOLS),
        ("{}", True, b'{"input":"{}"}', Feature.CUSTOM_TOOLS),
    ],
)
def test_arguments_are_an_object_and_keep_their_spelling(
    arguments: str, is_custom: bool, written: bytes, loss: Feature | None
) -> None:
    call = ToolCall(id="c", name="f", arguments=arguments, is_custom=is_custom)
    assert bytes(arguments_object(call)) == written
    for tell in ("add", "note"):
        report = LossReport()
        tell_arguments(call, "p", getattr(report, tell))
        found = [(entry.feature, entry.outcome, entry.path) for entry in report.entries]
        assert found == ([] if loss is None else [(loss, NEARLY, "p")])
