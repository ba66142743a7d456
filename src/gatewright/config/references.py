"""References: `${env:NAME}` and `${file:/path}` inside text stand for a value that is kept elsewhere.

Text that holds a reference becomes a `Secret` as a whole (`Bearer ${env:KEY}` too); a field of plain text reveals it
when it is checked, and what is said about it does not show the value (`mask`). `$${` writes a literal `${`. What was
put in is never searched for references again. Templates over claims are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Final

from msgspec import Meta

from gatewright.config.problems import ConfigError
from gatewright.config.tree import Node, join
from gatewright.core.secret import Secret

Resolve = Callable[[str, str], str | None]
"""`resolve(scheme, name)`: the value, or None when there is none. OSError and ValueError are reported as the reason."""

UNRESOLVED: Final = Secret("")
"""Stands, by identity, for text whose reference failed: the failure is reported once, and nothing else about it."""

WRITTEN_OUT: Final = "written_out"
"""In the `extra` of a type's `Meta`: text that takes no reference."""
CelText = Annotated[str, Meta(extra={WRITTEN_OUT: True})]
"""A CEL expression. It is code: what its errors quote, and the value it gives, would show what a reference stands
for."""
MASK: Final = "***"

_SHORTEST_MASKED: Final = 4
"""Characters; what is shorter keeps no secret, and masked would make errors unreadable."""
_WHOLE: Final = re.compile(r"\$\{(?:env|file):[^{}]+\}")
_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)(\}?)")
_TEMPLATE: Final = re.compile(r"identity\.(?:issuers\..+|introspection|certificates)\.consumer\Z")
"""Where `${…}` stands for a claim (`pipeline.consumer_mapping`), which is known only as a caller comes."""
_SPELLINGS: Final = "write ${env:NAME} or ${file:/path}, or $${ for a literal ${"


def expand(node: Node, path: str, resolve: Resolve, problems: list[ConfigError]) -> object:
    """Plain data of a tree, with every reference resolved; what fails is added to `problems` with its place."""
    value = node.value
    if isinstance(value, dict):
        return {key: expand(child, join(path, key), resolve, problems) for key, child in value.items()}
    if isinstance(value, list):
        return [expand(child, join(path, index), resolve, problems) for index, child in enumerate(value)]
    if not isinstance(value, str) or "${" not in value or _TEMPLATE.match(path):
        return value
    text, reasons = expand_text(value, resolve)
    problems.extend(ConfigError(path, reason, node.file, node.line) for reason in reasons)
    return text


def expand_text(text: str, resolve: Resolve) -> tuple[str | Secret, list[str]]:
    """The text with its references resolved, and why some could not be (then the value is `UNRESOLVED`)."""
    reasons: list[str] = []
    found = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal found
        if match[1] is None:
            return "${"
        found += 1
        value, reason = _value_of(match[1], bool(match[2]), resolve)
        if reason:
            reasons.append(reason)
        return value

    expanded = _REFERENCE.sub(replace, text)
    if reasons:
        return UNRESOLVED, reasons
    return (Secret(expanded) if found else expanded), []


def is_reference(text: str) -> bool:
    """Whether the text is one reference and nothing else."""
    return _WHOLE.fullmatch(text) is not None


def holds_reference(text: str) -> bool:
    """Whether a reference stands in the text, or the beginning of one."""
    return any(match[1] is not None for match in _REFERENCE.finditer(text))


def find_revealed(data: object) -> Iterator[str]:
    """Every text of expanded data that holds a resolved reference."""
    if isinstance(data, dict):
        data = list(data.values())
    if isinstance(data, list):
        for child in data:
            yield from find_revealed(child)
    elif isinstance(data, Secret):
        yield data.reveal()


def mask(message: str, revealed: Iterable[str]) -> str:
    """The message without what references stand for. A field of plain text may hold a secret by mistake."""
    for text in revealed:
        if len(text) >= _SHORTEST_MASKED:
            for form in (text, repr(text)[1:-1]):
                message = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", MASK, message) if form in message else message
    return message


def _value_of(reference: str, is_closed: bool, resolve: Resolve) -> tuple[str, str]:
    """The value of one reference and an empty reason, or the other way round."""
    scheme, colon, name = reference.partition(":")
    if not is_closed:
        return "", f"a reference begins with ${{ but has no closing brace; {_SPELLINGS}"
    if not colon or not name or scheme not in ("env", "file"):
        return "", f"${{{_short(reference)}}} is not a reference; {_SPELLINGS}"
    subject = f"the environment variable `{_short(name)}`" if scheme == "env" else f"the file `{_short(name)}`"
    remedy = (
        "set it where the gateway is started, or take this entry out"
        if scheme == "env"
        else "create it, or correct the path"
    )
    try:
        value = resolve(scheme, name)
    except (OSError, ValueError) as error:
        return "", f"{subject} cannot be read ({_reason(error)}); {remedy}"
    if value is None:
        return "", f"{subject} {'is not set' if scheme == 'env' else 'does not exist'}; {remedy}"
    if scheme == "file":
        value = value.rstrip("\r\n")  # editors and `echo` end a file with a line break that is no part of the secret
    return (value, "") if value else ("", f"{subject} is empty; {remedy}")


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    # The message of a failed decoding quotes the bytes, and these may be the secret.
    return "not UTF-8 text" if isinstance(error, UnicodeError) else str(error)


def _short(text: str) -> str:
    shown = text if text.isprintable() else repr(text)[1:-1]
    return shown if len(shown) <= 200 else shown[:200] + "…"
