import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import lmdb
import pytest

from gatewright.core.consumer import Scopes
from gatewright.core.keys import KeyRecord, digest_of
from gatewright.store import key_table
from gatewright.store.key_table import KeyReader, KeyTable, UnusableTable, Writing

SECRET = b"s" * 32


def digest(number: int) -> bytes:
    return digest_of(b"%d" % number, SECRET)


def record(number: int) -> KeyRecord:
    return KeyRecord(f"key{number}", "acme/search/indexer", Scopes(models=("gpt-*",)), number)


def fill(table: KeyTable, *numbers: int) -> None:
    def change(writing: Writing) -> None:
        for number in numbers:
            writing.put(digest(number), record(number))

    table.write(change)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "keys.lmdb"


@pytest.fixture
def table(directory: Path) -> Iterator[KeyTable]:
    table = KeyTable(directory)
    yield table
    table.close()


@pytest.fixture
def reader(directory: Path, table: KeyTable) -> Iterator[KeyReader]:
    reader = KeyReader(directory)
    yield reader
    reader.close()


def test_what_is_written_is_found(table: KeyTable, reader: KeyReader) -> None:
    fill(table, 1, 2)
    assert reader.refresh()
    for _ in range(2):
        assert reader.find(digest(1)) == record(1)
        assert reader.find(digest(3)) is None
    assert table.items() == {digest(1): record(1), digest(2): record(2)}
    table.write(lambda writing: writing.delete(digest(1)))
    assert reader.refresh()
    assert reader.find(digest(1)) is None
    assert reader.find(digest(2)) == record(2)


def test_a_change_is_seen_after_a_refresh_and_counted(table: KeyTable, reader: KeyReader) -> None:
    fill(table, 1)
    reader.refresh()
    assert reader.find(digest(1)) == record(1)
    before = reader.generation
    assert not reader.refresh()
    assert reader.generation == before
    table.write(lambda writing: writing.put(digest(1), KeyRecord("key1", "a/b/c", is_revoked=True)))
    assert reader.refresh()
    assert reader.generation != before
    found = reader.find(digest(1))
    assert found is not None
    assert found.is_revoked


def test_what_is_the_same_is_not_written(table: KeyTable, reader: KeyReader) -> None:
    fill(table, 1)
    reader.refresh()

    def again(writing: Writing) -> int:
        writing.put(digest(1), record(1))
        writing.delete(digest(9))
        writing.revision = 5
        return writing.changed

    assert table.write(again) == 0
    reader.refresh()
    assert table.write(again) == 0
    assert not reader.refresh()


def test_the_revision_is_kept(table: KeyTable) -> None:
    assert table.revision() is None

    def change(writing: Writing) -> int | None:
        writing.revision = 7
        return writing.revision

    assert table.write(change) == 7
    assert table.revision() == 7
    assert table.items() == {}


def test_a_change_that_raises_leaves_nothing(table: KeyTable) -> None:
    fill(table, 1)

    def change(writing: Writing) -> None:
        writing.put(digest(2), record(2))
        writing.delete(digest(1))
        raise KeyError

    with pytest.raises(KeyError):
        table.write(change)
    assert table.items() == {digest(1): record(1)}


def test_digests_can_be_gone_through_in_steps(table: KeyTable) -> None:
    fill(table, *range(25))
    table.write(lambda writing: setattr(writing, "revision", 3))
    every = sorted(digest(number) for number in range(25))
    for after, last, wanted in (
        (b"", None, every),
        (b"", every[6], every[:7]),
        (every[6], every[13], every[7:14]),
        (every[6], every[6], []),
        (every[20], None, every[21:]),
        (every[24], None, []),
    ):
        assert table.write(partial(Writing.digests_between, after=after, last=last)) == wanted
    table.write(lambda writing: writing.delete(every[10]))
    assert table.write(lambda writing: writing.digests_between(every[10], every[11])) == [every[11]]


def test_a_full_table_grows_under_its_readers(directory: Path) -> None:
    table = KeyTable(directory, map_bytes=256 * 1024)
    reader = KeyReader(directory)
    fill(table, *range(20_000))
    reader.refresh()
    assert all(reader.find(digest(number)) == record(number) for number in range(0, 20_000, 97))
    reader.close()
    table.close()


def test_a_reader_remembers_a_bounded_number_of_keys(
    table: KeyTable, reader: KeyReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_table, "_MAX_KNOWN", 50)
    fill(table, *range(500))
    reader.refresh()
    for number in [*range(500), *range(500), *[7] * 500]:
        assert reader.find(digest(number)) == record(number)
        assert len(reader._young) + len(reader._old) <= 100
    assert digest(7) in reader._young


def test_unknown_keys_are_not_remembered(table: KeyTable, reader: KeyReader) -> None:
    fill(table, 1)
    reader.refresh()
    for number in range(100, 200):
        assert reader.find(digest(number)) is None
    assert not reader._young


def test_an_absent_table_is_no_fault_and_is_found_when_it_comes(directory: Path) -> None:
    reader = KeyReader(directory)
    assert reader.find(digest(1)) is None
    assert "no key table yet" in str(reader.problem)
    assert not directory.exists()
    table = KeyTable(directory)
    fill(table, 1)
    assert reader.refresh()
    assert reader.problem is None
    assert reader.find(digest(1)) == record(1)
    reader.close()
    table.close()


def test_a_reader_goes_over_to_a_table_that_was_made_anew(directory: Path) -> None:
    table = KeyTable(directory)
    fill(table, 1)
    reader = KeyReader(directory)
    assert reader.find(digest(1)) == record(1)
    KeyTable.remove(directory)
    assert not table.is_in_place
    other = KeyTable(directory)
    assert other.is_in_place
    fill(other, 2)
    assert reader.refresh()
    assert reader.find(digest(1)) is None
    assert reader.find(digest(2)) == record(2)
    KeyTable.remove(directory)
    assert reader.refresh()
    assert reader.find(digest(2)) is None
    assert "gone" in str(reader.problem)
    for one in (table, other, reader):
        one.close()


def at_once(path: Path, size: int) -> None:
    os.truncate(path, size)


def overwrite(start: int, data: Callable[[int], bytes]) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(start)
            file.write(data(size - start))

    return harm


HARMS: list[Callable[[Path], object]] = [
    lambda path: at_once(path, 0),
    lambda path: at_once(path, 100),
    lambda path: at_once(path, 4_096),
    lambda path: at_once(path, 8_192),
    lambda path: at_once(path, path.stat().st_size // 2 // 4_096 * 4_096),
    lambda path: at_once(path, path.stat().st_size // 2),
    overwrite(0, lambda left: b"hello" * (left // 5)),
    overwrite(8_192, bytes),
    overwrite(8_192, os.urandom),
    overwrite(0, lambda left: os.urandom(8_192)),
]


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_table_knows_no_key_and_harms_nobody(directory: Path, harm: Callable[[Path], object]) -> None:
    table = KeyTable(directory)
    fill(table, *range(3_000))
    table.close()
    harm(directory / "data.mdb")
    reader = KeyReader(directory)
    for number in range(0, 3_000, 50):
        assert reader.find(digest(number)) is None
    assert reader.problem is not None
    assert "key table" in reader.problem
    reader.refresh()
    KeyTable.remove(directory)
    table = KeyTable(directory)
    fill(table, 1)
    assert any(reader.refresh() for _ in range(30))
    assert reader.find(digest(1)) == record(1)
    reader.close()
    table.close()


def test_a_table_that_is_cut_off_while_it_is_open_is_left_alone(directory: Path) -> None:
    table = KeyTable(directory)
    fill(table, *range(3_000))
    table.close()
    reader = KeyReader(directory)
    assert reader.find(digest(1)) == record(1)
    at_once(directory / "data.mdb", 4_096)
    assert reader.refresh()
    assert reader.find(digest(1)) is None
    assert "cut off" in str(reader.problem)
    reader.close()


def test_the_writer_says_what_it_cannot_use(directory: Path, tmp_path: Path) -> None:
    KeyTable(directory).close()
    at_once(directory / "data.mdb", 100)
    with pytest.raises(UnusableTable, match="cut off"):
        KeyTable(directory)
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableTable, match="cannot be used"):
        KeyTable(tmp_path / "file")
    (directory / "data.mdb").write_bytes(b"no table at all " * 1_000)
    with pytest.raises(UnusableTable, match="cannot be used"):
        KeyTable(directory)


def test_an_entry_that_cannot_be_read_is_an_unknown_key(directory: Path) -> None:
    with lmdb.open(str(directory)) as environment, environment.begin(write=True) as transaction:
        transaction.put(digest(1), b"\xff\xff")
    reader = KeyReader(directory)
    assert reader.find(digest(1)) is None
    assert reader.problem is None
    reader.close()


def test_only_its_owner_may_read_the_table(directory: Path, table: KeyTable) -> None:
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "data.mdb").stat().st_mode & 0o777 == 0o600


def test_a_copy_can_be_read(directory: Path, tmp_path: Path, table: KeyTable) -> None:
    fill(table, 1)
    shutil.copytree(directory, tmp_path / "copy")
    reader = KeyReader(tmp_path / "copy")
    assert reader.find(digest(1)) == record(1)
    reader.close()
