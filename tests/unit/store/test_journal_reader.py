"""Reading a journal: exactly what was appended, at any place and pace, and never past what does not hold."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.config.ledger import Ledger
from gatewright.core.ledger import Attempt, Entry, Tokens
from gatewright.store import journal as journal_module
from gatewright.store.journal import CLOSED, HEADER, Journal
from gatewright.store.journal_reader import JournalReader, JournalTail, is_written, list_journals, list_segments

INT = st.integers(0, 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ATTEMPTS = st.builds(
    Attempt,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    st.none() | st.builds(Tokens, *([INT] * len(Tokens.__struct_fields__))),
    st.booleans(),
    st.none() | INT,
    TEXT,
    INT,
)
FIELDS = st.tuples(
    TEXT, INT, INT, INT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, st.integers(0, 999), TEXT, st.booleans(), TEXT,
    st.lists(ATTEMPTS, max_size=3),
)  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 4 KiB."""
    for name, value in (("SEGMENT_BYTES", 4_096), ("_END", 4_088), ("_RESERVE_BYTES", 2_048)):
        monkeypatch.setattr(journal_module, name, value)


def add(journal: Journal, id: str = "x") -> None:
    journal.add(id, 5, 6, 7, "acme", "", "", "openai.chat", "gpt", "gpt", 200, "", False, "", [])
    journal.tick()


def written(directory: Path, count: int) -> Path:
    """A journal of some entries over several segments, its writer gone."""
    journal = Journal(directory, "j", Ledger())
    for number in range(1, count + 1):
        add(journal, str(number))
        while not journal._maker.is_ready:
            journal.tick()
    journal.close()
    return directory / "j"


def kill(directory: Path, source: Path) -> Path:
    """The journal as it would be, had its writer been killed now: a copy, that nobody holds a lock on."""
    return Path(shutil.copytree(source, directory / "killed" / source.name))


def read_all(path: Path, booked: int = 0, step: int = 7) -> tuple[list[int], JournalReader]:
    reader = JournalReader(path, booked)
    numbers = []
    while batch := reader.read(step):
        numbers += [entry.number for entry in batch]
    return numbers, reader


@settings(max_examples=60)
@given(rows=st.lists(FIELDS, max_size=30), step=st.integers(1, 10), data=st.data())
def test_what_was_added_is_read_at_any_pace(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[object, ...]], step: int, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    journal = Journal(directory, "j", Ledger())
    reader = JournalReader(directory / "j")
    read: list[Entry] = []
    for row in rows:
        journal.add(*row)  # type: ignore[arg-type]
        if data.draw(st.booleans()):
            journal.tick()
            read += reader.read(step)
    journal.close()
    while batch := reader.read(step):
        read += batch
    assert reader.damage is None
    assert reader.is_finished
    assert journal.lost == 0
    assert [entry.number for entry in read] == list(range(1, len(rows) + 1))
    assert [tuple(getattr(entry, name) for name in Entry.__struct_fields__[1:]) for entry in read] == rows
    shutil.rmtree(directory)


@pytest.mark.parametrize("booked", [0, 1, 39, 40, 41, 149, 150])
def test_reading_begins_after_what_is_booked(tmp_path: Path, booked: int) -> None:
    path = written(tmp_path, 150)
    assert len(list_segments(path)) > 2
    numbers, reader = read_all(path, booked)
    assert numbers == list(range(booked + 1, 151))
    assert reader.is_finished


def test_a_living_journal_is_never_finished(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "j", Ledger())
    add(journal)
    _, reader = read_all(tmp_path / "j")
    assert not reader.is_finished
    add(journal)
    assert [entry.number for entry in reader.read(10)] == [2]
    journal.close()
    assert reader.read(10) == []
    assert reader.is_finished


def test_segments_go_when_they_are_booked_and_the_journal_in_the_end(tmp_path: Path) -> None:
    path = written(tmp_path, 150)
    segments = list_segments(path)
    first_of_second = segments[2]
    reader = JournalReader(path)
    reader.read(first_of_second + 1)
    reader.remove_booked(first_of_second - 2)
    assert list(list_segments(path)) == list(segments), "one entry of the first segment is not booked"
    reader.remove_booked(first_of_second - 1)
    assert list(list_segments(path)) == list(segments)[1:]
    while reader.read(100):
        pass
    reader.remove_booked(149)
    assert path.exists()
    reader.remove_booked(150)
    assert not path.exists()


def test_what_was_booked_before_the_reader_began_goes_too(tmp_path: Path) -> None:
    path = written(tmp_path, 150)
    last = max(list_segments(path))
    reader = JournalReader(path, 149)
    reader.read(1)
    reader.remove_booked(149)
    assert list(list_segments(path)) == [last]


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (HEADER.size + 4, b"\xff\xff\xff\xff", "the checksum of entry 1 is wrong"),
        (HEADER.size + 12, b"!", "the checksum of entry 1 is wrong"),
        (HEADER.size, struct.pack("<I", 100_000_000), "the checksum of entry 1 is wrong"),
        (HEADER.size, struct.pack("<I", 0), "entry 1 is missing, and others follow"),
        (HEADER.size, struct.pack("<I", CLOSED), "entry 1 is missing, and others follow"),
    ],
)
def test_damage_is_told_with_its_place(tmp_path: Path, offset: int, value: bytes, reason: str) -> None:
    path = written(tmp_path, 150)
    segment = path / "00000001.segment"
    data = bytearray(segment.read_bytes())
    data[offset : offset + len(value)] = value
    segment.write_bytes(data)
    numbers, reader = read_all(path)
    assert numbers == []
    assert reader.damage is not None
    assert (reader.damage.segment, reader.damage.offset, reader.damage.reason) == (segment.name, HEADER.size, reason)
    assert not reader.is_finished
    reader.remove_booked(0)
    assert segment.exists()


def test_every_byte_of_an_entry_is_guarded(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "j", Ledger())
    add(journal, "guarded")
    add(journal, "after")
    path = kill(tmp_path, tmp_path / "j")
    journal.close()
    segment = path / "00000001.segment"
    good = segment.read_bytes()
    # The last record is not among them: without its length it is the half-written one of a killed process.
    (length,) = struct.unpack_from("<I", good, HEADER.size)
    for place in range(HEADER.size, HEADER.size + 8 + length):
        data = bytearray(good)
        data[place] ^= 0x40
        segment.write_bytes(data)
        numbers, reader = read_all(path)
        assert numbers == [], place
        assert reader.damage is not None, place


def test_a_missing_segment_is_damage(tmp_path: Path) -> None:
    path = written(tmp_path, 150)
    segments = list_segments(path)
    (path / "00000002.segment").unlink()
    numbers, reader = read_all(path)
    assert numbers == list(range(1, segments[2]))
    assert reader.damage is not None
    assert reader.damage.reason == f"the entries {segments[2]} to {segments[3] - 1} are missing"


def test_a_missing_beginning_is_damage(tmp_path: Path) -> None:
    path = written(tmp_path, 150)
    second = list_segments(path)[2]
    (path / "00000001.segment").unlink()
    numbers, reader = read_all(path, 3)
    assert numbers == []
    assert reader.damage is not None
    assert reader.damage.reason == f"the entries 4 to {second - 1} are missing"
    assert read_all(path, second - 1)[0] == list(range(second, 151)), "what is missing may be booked"


def test_a_cut_file_is_damage(tmp_path: Path) -> None:
    path = written(tmp_path, 150)
    with (path / "00000002.segment").open("r+b") as file:
        file.truncate(1_000)
    _, reader = read_all(path)
    assert reader.damage is not None
    assert reader.damage.segment == "00000002.segment"


@pytest.mark.parametrize("bytes_written", [0, 1, 8, 20, 60])
def test_a_half_written_last_entry_is_no_damage(tmp_path: Path, bytes_written: int) -> None:
    journal = Journal(tmp_path, "j", Ledger())
    add(journal)
    before = journal._at
    add(journal)
    path = kill(tmp_path, tmp_path / "j")
    journal.close()
    segment = path / "00000001.segment"
    data = bytearray(segment.read_bytes())
    # Its length was not written yet, and of the rest only the first bytes.
    data[before : before + 4] = bytes(4)
    data[before + 8 + bytes_written :] = bytes(len(data) - before - 8 - bytes_written)
    segment.write_bytes(data)
    numbers, reader = read_all(path)
    assert numbers == [1]
    assert reader.damage is None
    assert reader.is_finished


def test_a_whole_last_entry_without_its_length_never_was(tmp_path: Path) -> None:
    """The process was killed right before it wrote the length: nobody was told that the entry is there."""
    journal = Journal(tmp_path, "j", Ledger())
    add(journal)
    before = journal._at
    add(journal)
    path = kill(tmp_path, tmp_path / "j")
    journal.close()
    segment = path / "00000001.segment"
    data = bytearray(segment.read_bytes())
    data[before : before + 4] = bytes(4)
    segment.write_bytes(data)
    numbers, reader = read_all(path)
    assert (numbers, reader.damage, reader.is_finished) == ([1], None, True)


def test_a_disk_that_got_less_than_the_database_is_no_damage(tmp_path: Path) -> None:
    """Without power, entries that were booked may not have reached the disk as journal."""
    journal = Journal(tmp_path, "j", Ledger())
    add(journal)
    path = kill(tmp_path, tmp_path / "j")
    journal.close()
    numbers, reader = read_all(path, 5)
    assert (numbers, reader.damage, reader.is_finished) == ([], None, True)


def test_beside_a_living_writer_the_first_doubt_is_not_believed(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "j", Ledger())
    add(journal)
    assert journal._map is not None
    good = journal._map[HEADER.size + 4]
    reader = JournalReader(tmp_path / "j")
    journal._map[HEADER.size + 4] = good ^ 1
    assert reader.read(10) == []
    assert reader.damage is None
    journal._map[HEADER.size + 4] = good
    assert len(reader.read(10)) == 1
    journal.close()


def test_a_later_version_may_have_added_fields(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "j", Ledger())
    encode = journal._encode
    # One more element in the array: 16 elements are written as 0xdc 0x00 0x10.
    journal._encode = lambda entry: b"\xdc\x00\x11" + encode(entry)[3:] + b"\xc0"
    add(journal, "new")
    (entry,) = JournalReader(tmp_path / "j").read(10)
    assert entry.id == "new"
    journal.close()


def test_the_tail_counts_and_tells_what_to_sync(tmp_path: Path) -> None:
    tail = JournalTail(tmp_path / "j")
    assert tail.advance() == []
    journal = Journal(tmp_path, "j", Ledger())
    tail.advance()
    for number in range(1, 150):
        add(journal)
        while not journal._maker.is_ready:
            journal.tick()
        names = [path.name for path in tail.advance()]
        assert tail.number == number
        assert names[-1] == f"{max(list_segments(tmp_path / 'j')):08d}.segment"
        assert tail.advance() == []
    late = JournalTail(tmp_path / "j")
    assert len(late.advance()) == len(list_segments(tmp_path / "j"))
    assert late.number == 149
    journal.close()
    assert late.advance() == []


def test_no_directory_has_no_journals(tmp_path: Path) -> None:
    assert list_journals(tmp_path / "none") == []
    assert not is_written(tmp_path / "none")
    assert list_segments(tmp_path / "none") == {}
