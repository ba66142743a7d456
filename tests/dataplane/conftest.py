"""What the data-plane suites share: their tables beside them are importable, and a scripted provider per module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewright.testing.upstream import ScriptedUpstream

# The tables beside the tests are imported by name, in every import mode.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    """A scripted provider, shared by a module; `upstream.reset()` makes it healthy again."""
    with ScriptedUpstream() as running:
        yield running
