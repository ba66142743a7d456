"""Every filter: one file each, listed here in order."""

from __future__ import annotations

from typing import Final

from gatewright.filters.budget import BUDGET
from gatewright.filters.rate_limit import RATE_LIMIT
from gatewright.pipeline.filters import FilterType

FILTERS: Final[tuple[FilterType, ...]] = (RATE_LIMIT, BUDGET)
"""Every filter, in the order of the documentation."""
