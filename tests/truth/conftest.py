"""Says, at the end of a run, what was checked of the recorded traffic, or loudly that nothing was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from tests.truth import recordings

CHECKED = pytest.StashKey[Counter[tuple[str, bool]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CHECKED] = Counter()


@pytest.fixture(autouse=True)
def _here() -> None:
    if not recordings.is_here():
        pytest.skip(f"no recorded traffic at {recordings.FOLDER}; set GATEWRIGHT_TRUTH")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: Any = yield
    if report.when == "call" and not report.skipped and item.get_closest_marker("truth") is not None:
        what = getattr(item, "originalname", item.name)
        item.config.stash[CHECKED][what, report.passed] += 1
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not recordings.is_here():
        terminalreporter.write_line(
            f"WARNING: no recorded traffic at {recordings.FOLDER}, so the truth suite was SKIPPED", yellow=True
        )
        return
    checked = config.stash[CHECKED]
    if not checked:
        return
    found, excluded = recordings.everything()
    terminalreporter.section("recorded traffic")
    terminalreporter.write_line(f"{len(found)} recordings in OpenAI form, {len(excluded)} left out")
    for what in sorted({name for name, _ in checked}):
        terminalreporter.write_line(f"  {what}: {checked[what, True]} passed, {checked[what, False]} failed")
    for (provider, reason), count in sorted(Counter((p.split("/")[0], r) for p, r in excluded.items()).items()):
        terminalreporter.write_line(f"  left out: {count} of {provider}: {reason}")
