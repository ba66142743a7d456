"""Arguments of tool calls as the JSON object that most APIs demand, whatever the model wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import ToolCall
from gatewright.core.fields import Fields
from gatewright.core.loss import Feature, Outcome
from gatewright.wire.json_object import mend_surrogates, render_json

CUSTOM_INPUT: Final = "input"
"""The member that holds the free text of a call to a tool that takes no JSON."""
RAW_INPUT: Final = "_raw"
"""The member that holds arguments which are no JSON object, as text: nothing is lost, and the model can read them."""

_NONE: Final = ("", "null")
"""How models and APIs spell that there are no arguments."""
_fields: msgspec.json.Decoder[Fields] = msgspec.json.Decoder(Fields)

Tell = Callable[[Feature, Outcome, str, str], None]
"""`LossReport.add` for a request, `LossReport.note` for an answer."""


def is_object(text: str | bytes | Raw) -> bool:
    """Whether `text` is a JSON object, halves of surrogate pairs in it or not."""
    try:
        _fields.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _is_mended(text)
    return True


def _is_mended(text: str | bytes | Raw) -> bool:
    spelled = text.encode("utf-8", "replace") if isinstance(text, str) else bytes(text)
    mended = mend_surrogates(spelled)
    return mended != spelled and is_object(mended)


def arguments_object(call: ToolCall) -> Raw:
    """The arguments as an object: as they are spelled where they are one, else wrapped (`tell_arguments`)."""
    if call.is_custom:
        return render_json({CUSTOM_INPUT: call.arguments})
    if call.arguments.strip() in _NONE:
        return Raw(b"{}")
    return Raw(call.arguments.encode()) if is_object(call.arguments) else render_json({RAW_INPUT: call.arguments})


def tell_arguments(call: ToolCall, path: str, tell: Tell) -> None:
    """Tell of arguments that `arguments_object` wraps."""
    if call.is_custom:
        note = f"its text is sent as the argument `{CUSTOM_INPUT}`"
        tell(Feature.CUSTOM_TOOLS, Outcome.APPROXIMATED, path, note)
    elif call.arguments.strip() not in _NONE and not is_object(call.arguments):
        note = f"arguments that are no JSON object are sent as the argument `{RAW_INPUT}`"
        tell(Feature.TOOLS, Outcome.APPROXIMATED, path, note)
