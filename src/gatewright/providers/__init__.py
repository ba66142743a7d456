"""Every provider type: one file each, listed here in order."""

from __future__ import annotations

from typing import Final

from gatewright.pipeline.provider import AnyProviderType
from gatewright.providers.local import LOCAL
from gatewright.providers.openai import OPENAI
from gatewright.providers.openai_compatible import OPENAI_COMPATIBLE

PROVIDERS: Final[tuple[AnyProviderType, ...]] = (OPENAI, OPENAI_COMPATIBLE, LOCAL)
"""Every provider type, in the order of the documentation."""
