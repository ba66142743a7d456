"""Says, at the end of a run, what was checked of the recorded traffic, or loudly that nothing was.

`pytest tests/truth --page docs/explanation/recorded-truth.md` writes the same as a page.
"""

from __future__ import annotations

import datetime
import importlib.util
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from tests.truth import recordings
from tests.truth.page import Counts, render_page

HAS_CLIENTS = all(importlib.util.find_spec(name) for name in ("anthropic", "botocore", "cohere", "google", "ollama"))
collect_ignore = [] if HAS_CLIENTS else ["test_cross_pairs.py"]

CHECKED = pytest.StashKey[Counter[tuple[str, bool]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--page", help="write the counts of the truth suite to this Markdown file")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CHECKED] = Counter()


@pytest.fixture(autouse=True)
def _here() -> None:
    if not recordings.is_here():
        pytest.skip(f"no recorded traffic at {recordings.FOLDER}; set GATEWRIGHT_TRUTH")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report: Any = yield
    if report.when == "call" and not report.skipped and item.get_closest_marker("truth") is not None:
        suite = item.path.stem.removeprefix("test_")
        item.config.stash[CHECKED][f"{suite}: {getattr(item, 'originalname', item.name)}", report.passed] += 1
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not recordings.is_here():
        terminalreporter.section("recorded traffic", sep="!")
        terminalreporter.write_line(
            f"WARNING: no recorded traffic at {recordings.FOLDER}, so the truth suite was SKIPPED", yellow=True
        )
        return
    checked = config.stash[CHECKED]
    if not checked:
        return
    counts = Counts.of(*recordings.everything(), checked)
    terminalreporter.section("recorded traffic")
    for line in counts.lines():
        terminalreporter.write_line(line)
    if not HAS_CLIENTS:
        terminalreporter.write_line(
            "WARNING: the vendors' clients are not installed (`make .venv/.sdks`), so all pairs were SKIPPED",
            yellow=True,
        )
    page = config.getoption("--page", default=None)
    if page:
        today = datetime.datetime.now(datetime.UTC).date()
        Path(page).write_text(render_page(counts, today))
        terminalreporter.write_line(f"wrote {page}")
