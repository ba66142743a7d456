"""Why a service of the control plane does not make a change; the admin API and the commands say it in their own way."""

from __future__ import annotations

from collections.abc import Sequence

from gatewright.config.problems import ConfigError


class ChangeRefused(Exception):
    """Nothing was changed. The message is for whoever asked, and names nothing secret."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(ChangeRefused):
    """What was to be read or changed does not exist."""


class Conflict(ChangeRefused):
    """It exists already, or its state does not allow this."""


class Forbidden(ChangeRefused):
    """The role of whoever asked does not allow it."""


class Outdated(ChangeRefused):
    """Somebody else changed it meanwhile; read it again."""


class Unacceptable(ChangeRefused):
    """What was given is wrong; `errors` tell every reason with its place."""

    def __init__(self, message: str, errors: Sequence[ConfigError] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)
