"""What is refused says why, to whoever asked."""

from __future__ import annotations

import pytest

from gatewright.config.problems import ConfigError
from gatewright.control.refusals import ChangeRefused, Conflict, Forbidden, NotFound, Outdated, Unacceptable


@pytest.mark.parametrize("kind", [NotFound, Conflict, Forbidden, Outdated, Unacceptable])
def test_every_refusal_carries_its_message(kind: type[ChangeRefused]) -> None:
    refused = kind("the budget is not here")
    assert refused.message == str(refused) == "the budget is not here"
    assert isinstance(refused, ChangeRefused)


def test_what_is_unacceptable_tells_every_reason() -> None:
    errors = [ConfigError("name", "is missing"), ConfigError("config.usd", "is no number")]
    assert Unacceptable("wrong", errors).errors == tuple(errors)
    assert Unacceptable("wrong").errors == ()
