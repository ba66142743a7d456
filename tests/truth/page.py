"""What the truth suite has checked, in lines for a terminal and as a page of the documentation."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tests.truth.recordings import Recording

_HEAD: Final = """\
<!-- Written by `pytest tests/truth --page docs/explanation/recorded-truth.md`. -->

# Recorded truth

What the gateway believes about each vendor's API is checked against recordings of provider traffic from open-source
test suites: requests that real clients sent, and what the vendors answered, whole and streamed. The recordings are not
part of this repository; `GATEWRIGHT_TRUTH` names the folder that holds them, and without one the suite says that it was
skipped.

The checks are laws, not expected values, so that they hold for recordings nobody has seen yet:

- A request that goes through the gateway's own representation and back is what the client sent, and so is an answer.
- A stream gives the same however its bytes are cut, and means what the complete answer means.
- A stream that is cut short is never taken for complete; a failure in a stream is told.
- Usage is counted by the vendor's own rule, whatever the form it is written in.
- Every recording goes through other dialects: the vendors' own clients take what comes out, and read the same texts,
  thoughts, tool calls, reason of ending and usage in it.
"""


@dataclass(frozen=True)
class Counts:
    """How many recordings there are of what, and how many checks each law has passed."""

    recordings: list[tuple[str, int, int, int, int]]
    """`(dialect, recordings, requests, answers, streams)`."""
    providers: int
    left_out: list[tuple[str, str, int]]
    """`(provider, reason, recordings)`."""
    checks: list[tuple[str, str, int, int]]
    """`(suite, law, passed, failed)`."""

    @staticmethod
    def of(found: Iterable[Recording], excluded: Mapping[str, str], checked: Mapping[tuple[str, bool], int]) -> Counts:
        found = list(found)
        dialects = sorted({each.dialect for each in found})
        grouped = {dialect: [each for each in found if each.dialect == dialect] for dialect in dialects}
        reasons = Counter((path.split("/")[0], reason) for path, reason in excluded.items())
        laws = sorted({law for law, _ in checked})
        return Counts(
            recordings=[
                (
                    dialect,
                    len(group),
                    sum(each.request is not None for each in group),
                    sum(each.answer is not None for each in group),
                    sum(bool(each.text) for each in group),
                )
                for dialect, group in grouped.items()
            ],
            providers=len({each.provider for each in found}),
            left_out=[(provider, reason, count) for (provider, reason), count in sorted(reasons.items())],
            checks=[
                (*law.split(": ", 1), checked.get((law, True), 0), checked.get((law, False), 0))  # type: ignore[misc]
                for law in laws
            ],
        )

    @property
    def total(self) -> int:
        return sum(row[1] for row in self.recordings)

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        left_out = sum(count for *_, count in self.left_out)
        yield f"{self.total} recordings of {self.providers} providers, {left_out} left out"
        for dialect, count, requests, answers, streams in self.recordings:
            yield f"  {dialect}: {count} ({requests} requests, {answers} answers, {streams} streams)"
        for suite, law, passed, failed in self.checks:
            yield f"  {suite}: {law}: {passed} passed, {failed} failed"
        for provider, reason, count in self.left_out:
            yield f"  left out: {count} of {provider}: {reason}"


def render_page(counts: Counts, day: datetime.date) -> str:
    """The page of the documentation."""
    passed = sum(row[2] for row in counts.checks)
    failed = sum(row[3] for row in counts.checks)
    left_out = sum(row[2] for row in counts.left_out)
    lines = [
        _HEAD,
        f"On {day.isoformat()} {counts.total:,} recordings of {counts.providers} providers were checked: {passed:,} "
        f"checks passed, {failed:,} failed.",
        "",
        "## What is recorded",
        "",
        "| dialect | recordings | requests | answers | streams |",
        "| --- | ---: | ---: | ---: | ---: |",
        *[f"| `{name}` | {' | '.join(map(str, numbers))} |" for name, *numbers in counts.recordings],
        "",
        "## What was checked",
        "",
        "| suite | law | passed | failed |",
        "| --- | --- | ---: | ---: |",
        *[
            f"| {suite.replace('_', ' ')} | {law.removeprefix('test_').replace('_', ' ')} | {good} | {bad} |"
            for suite, law, good, bad in counts.checks
        ],
        "",
        "## What is left out",
        "",
        f"{left_out} recordings are of APIs that the gateway does not translate (assistants, real-time audio, files,",
        "other versions of an API), or hold no answer at all.",
        "",
        "| provider | why | recordings |",
        "| --- | --- | ---: |",
        *[f"| {provider} | {reason} | {count} |" for provider, reason, count in counts.left_out],
    ]
    return "\n".join(lines) + "\n"
