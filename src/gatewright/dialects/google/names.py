"""The name under which this family's extensions, opaque blobs and native parts travel through the hub."""

from __future__ import annotations

from typing import Final

NAME: Final = "google.generate_content"
EMBED: Final = "google.embed_content"
