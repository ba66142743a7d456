from pathlib import Path

from sqlalchemy import create_engine

from gatewright.store.revisions import (
    hold_revision,
    keep_first,
    raise_revision,
    read_revision,
    read_revisions,
    write_revision,
)
from gatewright.store.tables import METADATA


def test_a_revision_counts_its_subject_and_no_other(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/db")
    METADATA.create_all(engine)
    with engine.begin() as connection:
        assert read_revision(connection, "keys") is None
        assert [raise_revision(connection, "keys") for _ in range(3)] == [1, 2, 3]
        assert raise_revision(connection, "budgets") == 1
        hold_revision(connection, "budgets")
        hold_revision(connection, "none")
        write_revision(connection, "budgets", 70)
        write_revision(connection, "new", 7)
        assert [keep_first(connection, "new", 8), keep_first(connection, "first", 5)] == [7, 5]
        assert read_revisions(connection, ("keys", "budgets", "new", "first", "none")) == {
            "keys": 3,
            "budgets": 70,
            "new": 7,
            "first": 5,
        }
    engine.dispose()


def test_a_revision_goes_back_with_its_transaction(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/db")
    METADATA.create_all(engine)
    with engine.connect() as connection:
        raise_revision(connection, "keys")
        connection.rollback()
        assert read_revision(connection, "keys") is None
    engine.dispose()
