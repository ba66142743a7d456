"""What clients and providers say, as the API references write it, beside what the gateway makes of it.

`request_<case>.json` is a client's; `answer_<case>.json` and `stream_<case>.sse` are a provider's. The file of the same
name with the other side's dialect before its ending is what goes on. Requests go out for `gpt-4.1-mini`; answers come
back as `assistant`. A stream case named `…with_usage` is one whose client asked for usage.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gatewright.core.surface import Dialect
from gatewright.core.usage import Usage
from gatewright.dialects import DIALECTS
from gatewright.translate.identity import IdentityStream, parse_request, render_name, render_request, rewrite_answer

FOLDER = Path(__file__).parent
CUTS = (1, 7, 64, 1_000_000)
USAGE = {
    "openai.chat/answer_plain.json": Usage(
        input_total=19, input_cached_read=4, output_total=10, output_reasoning=3, service="prices"
    ),
    "openai.chat/answer_tool_call.json": Usage(input_total=82, output_total=17),
    "openai.chat/stream_plain.sse": Usage(input_total=11, output_total=6),
    "openai.chat/stream_with_usage.sse": Usage(input_total=11, output_total=6),
    "openai.chat/stream_tool_call.sse": None,
    "openai.chat/stream_failure.sse": None,
    "openai.completions/answer_plain.json": Usage(input_total=5, output_total=7),
    "openai.completions/stream_plain.sse": Usage(input_total=5, output_total=1),
    "openai.embeddings/answer_plain.json": Usage(input_total=8),
}


def cases(kind: str) -> pytest.MarkDecorator:
    found = [
        pytest.param(dialect, path, id=f"{dialect.name}/{path.name}")
        for dialect in DIALECTS
        for path in sorted((FOLDER / dialect.name).glob(f"{kind}_*"))
        if path.name.count(".") == 1
    ]
    return pytest.mark.parametrize(("dialect", "path"), found)


def read(path: Path) -> bytes:
    """A golden file; bodies have no line end at their end, files do."""
    data = path.read_bytes()
    return data.removesuffix(b"\n") if path.suffix == ".json" else data


def expected(dialect: Dialect, path: Path) -> bytes:
    return read(path.with_suffix(f".{dialect.name}{path.suffix}"))


def usage(path: Path) -> Usage | None:
    return USAGE[f"{path.parent.name}/{path.name}"]


def test_every_dialect_read_by_pattern_has_its_goldens() -> None:
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir() and path.name[0] not in "._"}
    assert {dialect.name for dialect in DIALECTS if dialect.is_scanned} <= folders
    assert folders - {"provider_usage"} <= {dialect.name for dialect in DIALECTS}  # the bills of tests/unit/control


@cases("request")
def test_requests(dialect: Dialect, path: Path) -> None:
    fields, name, stream = parse_request(read(path))
    assert name == "assistant"
    body, hidden = render_request(dialect, fields, render_name("gpt-4.1-mini"), stream=stream)
    assert body == expected(dialect, path)
    assert hidden is (stream and "with_usage" not in path.name)


@cases("answer")
def test_answers(dialect: Dialect, path: Path) -> None:
    assert rewrite_answer(dialect, read(path), render_name("assistant")) == (expected(dialect, path), usage(path))


@cases("stream")
@pytest.mark.parametrize("size", CUTS)
def test_streams(dialect: Dialect, path: Path, size: int) -> None:
    data = read(path)
    codec = IdentityStream(dialect, render_name("assistant"), hide_usage="with_usage" not in path.name)
    out = [codec.feed(data[start : start + size]) for start in range(0, len(data), size)]
    assert b"".join([*out, codec.end()]) == expected(dialect, path)
    assert codec.usage == usage(path)
    assert codec.done is ("failure" not in path.name)
    assert (codec.error is None) is codec.done
