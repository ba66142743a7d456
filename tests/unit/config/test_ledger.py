"""The section `ledger` takes what it documents and nothing else."""

from __future__ import annotations

import msgspec
import pytest

from gatewright.config.ledger import Ledger


def test_everything_has_a_default() -> None:
    assert msgspec.convert({}, Ledger) == Ledger(on_full_disk="serve", sync_ms=100, keep_days=None)


@pytest.mark.parametrize(
    "wrong",
    [{"on_full_disk": "crash"}, {"sync_ms": 0}, {"sync_ms": 1.5}, {"keep_days": 0}, {"segment_bytes": 1}],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Ledger)
