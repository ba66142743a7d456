"""What a grant remembers of earlier slices."""

from __future__ import annotations

from gatewright.core.grant import Grant


def unused(grant: Grant, used: int) -> tuple[int, list[tuple[int, int]]]:
    since, parts = grant.used_since(0, used)
    return since, [(part.mark, part.amount) for part in parts]


def test_what_is_taken_in_one_slice_is_one_amount() -> None:
    grant = Grant((), [5], [0], [7])
    grant.go_on(0, 7, 3)
    assert (grant.amounts, grant.marks, grant.earlier) == ([8], [7], None)
    assert grant.taken(0) == 8
    assert unused(grant, 2) == (2, [])


def test_what_was_taken_in_earlier_slices_stays_there() -> None:
    grant = Grant((), [5, 1], [0, 0], [7, 7])
    grant.go_on(0, 8, 3)
    grant.go_on(0, 9, 2)
    assert (grant.amounts, grant.marks) == ([2, 1], [9, 7]), "the other allowance is as it was"
    assert (grant.taken(0), grant.taken(1)) == (10, 1)
    assert unused(grant, 12) == (4, [])
    assert unused(grant, 8) == (0, [])


def test_what_was_not_used_is_missing_from_the_first_slices() -> None:
    grant = Grant((), [5], [0], [7])
    grant.go_on(0, 8, 3)
    grant.go_on(0, 9, 2)
    assert unused(grant, 7) == (0, [(7, 1)])
    assert unused(grant, 2) == (0, [(7, 5), (8, 1)])
    assert unused(grant, 0) == (0, [(7, 5), (8, 3)])
    assert grant.used_since(0, 9)[0] == 1
