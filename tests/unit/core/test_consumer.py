from __future__ import annotations

import math

import pytest

from gatewright.core.consumer import ANONYMOUS, Consumer, Scopes


def test_nobody_is_vouched_for_by_anything() -> None:
    assert (ANONYMOUS.path, ANONYMOUS.key_id, ANONYMOUS.issuer, ANONYMOUS.scopes) == ("anonymous", "", "", None)
    assert ANONYMOUS.expires_at == math.inf


def test_who_calls_does_not_change_while_it_is_served() -> None:
    for value, field in ((Consumer("a/b/c"), "path"), (Scopes(models=("m",)), "models")):
        with pytest.raises(AttributeError):
            setattr(value, field, "other")
