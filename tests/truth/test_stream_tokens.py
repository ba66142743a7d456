"""How near the gateway's own count of a stream comes to what the vendor reported, over all recorded streams.

`docs/explanation/accuracy.md` has the table; `python tests/truth/test_stream_tokens.py` prints it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from statistics import median

import pytest
from tests.truth import recordings
from tests.truth.recordings import Recording

from gatewright.core.exchange import Exchange
from gatewright.core.surface import Dialect
from gatewright.core.usage import Usage
from gatewright.dialects import DIALECTS
from gatewright.pipeline.missing_usage import look_at, stream_tokens
from gatewright.translate.identity import IdentityStream
from gatewright.translate.passing import PassedStream

MEDIAN_ERROR = 0.40
"""Of all streams: half of them are counted at least so well."""
MEDIAN_RATIO = (0.70, 1.10)
"""The count as a share of what was reported; neither far too much, nor far too little."""
TOGETHER = (0.75, 1.15)
"""All that was counted, as a share of all that was reported: what a budget sees in the end."""
TOO_MUCH = 2.0
"""So much more than reported is counted in one stream of ten at most."""
_BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
_READ_BYTES = 1_460


def _told(dialect: Dialect, data: bytes) -> Usage | None:
    codec = IdentityStream(dialect, None, hide_usage=False) if dialect.is_scanned else PassedStream(dialect, None)
    codec.feed(data)
    codec.end()
    return codec.usage if codec.error is None else None


def _counted(dialect: Dialect, data: bytes) -> int:
    """What the gateway counts while it forwards the stream, in pieces as they come from a network."""
    x = Exchange("req_1", None, {}, b"", 0.0)
    x.dialect = dialect
    codec = IdentityStream(dialect, None, hide_usage=False) if dialect.is_scanned else PassedStream(dialect, None)
    for at in range(0, len(data), _READ_BYTES):
        block = codec.feed(data[at : at + _READ_BYTES])
        if block:
            x.bytes_out += len(block)
            if x.bytes_out >= x.text_due:
                look_at(x, block)
    return stream_tokens(x)


def _pairs() -> Iterator[tuple[str, int, int]]:
    """Dialect, what was counted and what was reported, of every recorded stream that reports output.

    Those with thoughts are left out: vendors charge for them, and show all, some or none of them.
    """
    for recording in recordings.everything()[0]:
        found = _pair(recording)
        if found is not None:
            yield recording.dialect, *found


def _pair(recording: Recording) -> tuple[int, int] | None:
    dialect = _BY_NAME.get(recording.dialect)
    if dialect is None or dialect.family != "chat" or not recording.text:
        return None
    usage = _told(dialect, recording.text)
    if usage is None or not usage.output_total or usage.output_reasoning:
        return None
    return _counted(dialect, recording.text), usage.output_total


@pytest.mark.truth
def test_streams_are_counted_as_their_vendors_report() -> None:
    pairs = list(_pairs())
    ratios = sorted(counted / reported for _, counted, reported in pairs)
    assert len(ratios) > 100
    assert median(abs(ratio - 1) for ratio in ratios) <= MEDIAN_ERROR
    assert MEDIAN_RATIO[0] <= median(ratios) <= MEDIAN_RATIO[1]
    together = sum(counted for _, counted, _ in pairs) / sum(reported for _, _, reported in pairs)
    assert TOGETHER[0] <= together <= TOGETHER[1]
    assert ratios[len(ratios) * 9 // 10] <= TOO_MUCH


def print_table() -> None:
    """The table of the documentation."""
    rows: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for dialect, counted, reported in _pairs():
        rows[f"`{dialect}`"].append((counted, reported))
        rows["all"].append((counted, reported))
    for name, pairs in sorted(rows.items(), key=lambda row: (row[0] == "all", row[0])):
        ratios = sorted(counted / reported for counted, reported in pairs)
        together = sum(counted for counted, _ in pairs) / sum(reported for _, reported in pairs)
        error = median(abs(ratio - 1) for ratio in ratios)
        last = len(ratios) - 1
        cells = (ratios[len(ratios) // 10], median(ratios), ratios[min(len(ratios) * 9 // 10, last)], together)
        print(f"| {name} | {len(ratios)} | {' | '.join(f'{cell:.2f}' for cell in cells)} | {error:.0%} |")


if __name__ == "__main__":
    print_table()
