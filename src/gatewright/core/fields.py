"""One level of a JSON object."""

from __future__ import annotations

import msgspec

Fields = dict[str, msgspec.Raw]
"""Every value keeps the bytes it was spelled with."""
