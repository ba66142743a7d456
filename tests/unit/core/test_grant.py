from __future__ import annotations

from gatewright.core.grant import Grant


def test_a_grant_has_forgotten_nothing_yet() -> None:
    assert Grant((), [], [], []).gone is None
