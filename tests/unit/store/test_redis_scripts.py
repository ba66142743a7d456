"""The words to and from the server's scripts. What the scripts do is tried on a real server, in tests/dataplane."""

from __future__ import annotations

import re
from hashlib import sha1

import pytest

from gatewright.core.cells import CELL_S
from gatewright.core.counting import SLICES, Allowance, Kind
from gatewright.store.redis_scripts import (
    SCRIPTS,
    Row,
    parse_booked,
    parse_taken,
    parse_used,
    render_book,
    render_clock,
    render_take,
    shape_of,
)

SLIDING = Allowance("r", Kind.SLIDING, 60, 60.0)
BUDGET = Allowance("b", Kind.BUDGET, 100, ends_at=2_000.5)


@pytest.mark.parametrize(
    ("allowance", "name", "width_s", "ends_at_us"),
    [
        (SLIDING, "{p}:s60:r", 4.0, 0),
        (Allowance("r", Kind.SLIDING, 60, 0.5), "{p}:s0.5:r", 0.5 / (SLICES - 1), 0),
        (BUDGET, "{p}:b:b", CELL_S, 2_000_500_000),
        (Allowance("b", Kind.BUDGET, 100), "{p}:b:b", CELL_S, 0),
        (Allowance("b", Kind.BUDGET, 100, ends_at=1e12), "{p}:b:b", CELL_S, 0),
        (Allowance("c", Kind.CONCURRENT, 5), "{p}:c:c", CELL_S, 0),
    ],
)
def test_where_a_counter_lies(allowance: Allowance, name: str, width_s: float, ends_at_us: int) -> None:
    shape = shape_of(allowance, "p")
    assert (shape.name, shape.width_s, shape.ends_at_us) == (name, width_s, ends_at_us)
    assert ends_at_us < 1 << 53


def test_slices_are_numbered_from_the_epoch() -> None:
    shape = shape_of(SLIDING, "p")
    assert [shape.slice_at(us) for us in (0, 3_999_999, 4_000_000, 1_800_000_000_000_000)] == [0, 0, 1, 450_000_000]


def test_every_script_is_complete_and_named_by_its_digest() -> None:
    for script in SCRIPTS:
        assert script.digest == sha1(script.source.encode()).hexdigest()
        words = set(re.findall(r"(?<![\w'])[A-Z][A-Z_]{3,}(?![\w'])", script.source)) - {"ARGV", "KEYS"}
        assert words == set(), "constants are filled in"
        assert "TIME" in script.source
        assert script.source.count("local now") == 1


def test_a_call_reads_as_the_script_expects_it() -> None:
    shapes = [shape_of(SLIDING, "p"), shape_of(BUDGET, "p")]
    arguments = render_take(shapes, [SLIDING, BUDGET], [1, 2], None, None)
    assert arguments == [0, "4.0", 0, 60, 1, 1, 0, -1, 1, "30.0", 2_000_500_000, 100, 1, 2, 0, -1]
    assert render_take(shapes, [SLIDING, BUDGET], [1, 2], [7, 8], [9, 10])[6:8] == [7, 9]
    assert [render_clock(None), render_clock(5)] == ["", "5"]


def test_a_batch_reads_as_the_script_expects_it() -> None:
    row = Row(shape_of(BUDGET, "p"), BUDGET, 3, give=1, add=2, settled=4, want=5)
    assert render_book(9, "g", [row]) == [9, "g", 1, "30.0", 2_000_500_000, 100, 1, 3, 1, 2, 4, 5]


def test_replies_are_read() -> None:
    granted = parse_taken(b"1 1000 5 -2")
    assert (granted.now_us, granted.left) == (1000, [5, -2])
    refused = parse_taken(b"0 1000 1 -3 2500000")
    assert (refused.left, refused.index, refused.refused_left, refused.wait_s) == (None, 1, -3, 2.5)
    assert parse_taken(b"0 1000 0 0 -1").wait_s == float("inf")
    booked = parse_booked(b"name.1 1000 4 50 0 7")
    assert (booked.generation, booked.now_us, booked.leases) == ("name.1", 1000, [(4, 50), (0, 7)])
    assert parse_booked(b"name.1 1000").leases == []
    assert parse_used(b"1000 1 2") == [1, 2]
