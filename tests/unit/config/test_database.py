"""The `database` section: what it takes, and that its URL stays secret."""

from __future__ import annotations

import msgspec
import pytest

from gatewright.config.database import Database
from gatewright.core.secret import Secret


def decode(document: object) -> Database:
    return msgspec.convert(document, Database, dec_hook=lambda type_, value: Secret(value))


def test_nothing_means_the_file_in_the_state_directory() -> None:
    assert decode({}) == Database()
    assert Database().url is None


def test_the_url_prints_as_stars() -> None:
    document = decode({"url": "postgresql://u:hunter2@db/gatewright", "pool_size": 3})
    assert "hunter2" not in repr(document)
    assert document.pool_size == 3


@pytest.mark.parametrize("document", [{"pool_size": 0}, {"statement_timeout_s": 0}, {"uri": "x"}, {"pool_size": 1000}])
def test_what_makes_no_sense_is_refused(document: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(document)
