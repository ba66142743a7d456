"""Where an exchange lets the others of its round come as far as itself (`net.rounds`)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final


class _Stage:
    """Await it between two parts of an exchange that have little code in common."""

    def __await__(self) -> Generator[Any, None, None]:
        yield None


STAGE: Final = _Stage()
