"""Every worker runs the same document, and none that one of them refused."""

from __future__ import annotations

from gatewright.core.messages import Configure
from gatewright.server.rollout import DEATHS_TO_REFUSE, Outcome, Rollout


def started(*workers: int) -> Rollout:
    """A rollout whose first document all the workers run."""
    rollout = Rollout(b"one")
    for worker in workers:
        rollout.asked(worker)
    for worker in workers:
        rollout.ready(worker, 1)
    return rollout


def test_the_first_document_is_good_when_every_worker_runs_it() -> None:
    rollout = Rollout(b"one")
    assert rollout.wanted == Configure(1, b"one")
    assert rollout.version == 0
    rollout.asked(10)
    rollout.asked(20)
    assert rollout.ready(10, 1) is Outcome.NONE
    assert rollout.ready(20, 1) is Outcome.COMMITTED
    assert rollout.version == 1


def test_a_new_document_goes_to_everybody_and_is_good_when_all_run_it() -> None:
    rollout = started(10, 20)
    assert rollout.propose(b"two") == Configure(2, b"two")
    assert rollout.outdated() == [10, 20]
    rollout.asked(10)
    rollout.asked(20)
    assert rollout.outdated() == []
    assert rollout.unanswered(2) == [10, 20]
    assert rollout.ready(10, 2) is Outcome.NONE
    assert rollout.version == 1
    assert rollout.ready(20, 2) is Outcome.COMMITTED
    assert rollout.wanted == Configure(2, b"two")
    assert rollout.unanswered(2) == []


def test_one_refusal_takes_everybody_back() -> None:
    rollout = started(10, 20)
    rollout.propose(b"two")
    rollout.asked(10)
    rollout.asked(20)
    assert rollout.ready(10, 2) is Outcome.NONE
    assert rollout.refused(20, 2) is Outcome.ROLLED_BACK
    assert rollout.wanted == Configure(1, b"one")
    assert rollout.outdated() == [10, 20]
    rollout.asked(10)
    rollout.asked(20)
    assert rollout.ready(10, 1) is Outcome.NONE
    assert rollout.version == 1
    assert rollout.propose(b"three") == Configure(3, b"three"), "a refused version is never used again"


def test_a_starting_worker_that_refuses_the_candidate_gets_the_good_one() -> None:
    rollout = started()
    rollout.asked(10)
    rollout.ready(10, 1)
    rollout.gone(10)
    rollout.propose(b"two")
    rollout.asked(30)
    assert rollout.refused(30, 2) is Outcome.ROLLED_BACK
    assert rollout.outdated() == [30]
    assert rollout.wanted.document == b"one"


def test_the_first_document_refused_leaves_nothing_to_run() -> None:
    rollout = Rollout(b"one")
    rollout.asked(10)
    assert rollout.refused(10, 1) is Outcome.NOTHING_TO_RUN


def test_a_worker_that_alone_refuses_the_good_document_is_broken() -> None:
    rollout = started(10, 20)
    rollout.asked(30)
    assert rollout.refused(30, 1) is Outcome.WORKER_BROKEN


def test_answers_to_what_is_no_longer_wanted_mean_nothing() -> None:
    rollout = started(10)
    rollout.propose(b"two")
    rollout.asked(10)
    rollout.propose(b"three")
    assert rollout.outdated() == [10]
    assert rollout.refused(10, 2) is Outcome.NONE
    assert rollout.ready(10, 2) is Outcome.NONE
    rollout.asked(10)
    assert rollout.ready(10, 3) is Outcome.COMMITTED


def test_the_same_document_again_is_no_change() -> None:
    rollout = started(10)
    assert rollout.propose(b"one") is None
    rollout.propose(b"two")
    assert rollout.propose(b"two") is None


def test_the_good_document_again_takes_a_candidate_back() -> None:
    rollout = started(10)
    rollout.propose(b"two")
    rollout.asked(10)
    assert rollout.propose(b"one") is None
    assert rollout.candidate is None
    assert rollout.outdated() == [10]


def test_a_worker_that_dies_before_it_answers_does_not_hold_up_the_others() -> None:
    rollout = started(10, 20)
    rollout.propose(b"two")
    rollout.asked(10)
    rollout.asked(20)
    rollout.ready(10, 2)
    assert rollout.gone(20) is Outcome.COMMITTED


def test_a_draining_worker_does_not_hold_up_the_others_either() -> None:
    rollout = started(10, 20)
    rollout.propose(b"two")
    rollout.asked(10)
    rollout.asked(20)
    rollout.ready(10, 2)
    assert rollout.gone(20, expected=True) is Outcome.COMMITTED


def test_workers_that_keep_dying_on_a_document_refuse_it() -> None:
    rollout = started(10)
    rollout.propose(b"two")
    for worker in range(20, 20 + DEATHS_TO_REFUSE - 1):
        rollout.asked(worker)
        assert rollout.gone(worker) is Outcome.NONE
    rollout.asked(40)
    assert rollout.gone(40) is Outcome.ROLLED_BACK
    assert rollout.wanted.document == b"one"


def test_expected_ends_are_no_deaths() -> None:
    rollout = started(10)
    rollout.propose(b"two")
    for worker in range(20, 20 + DEATHS_TO_REFUSE):
        rollout.asked(worker)
        assert rollout.gone(worker, expected=True) is Outcome.NONE


def test_deaths_on_the_first_document_are_counted_elsewhere() -> None:
    rollout = Rollout(b"one")
    for worker in range(DEATHS_TO_REFUSE + 1):
        rollout.asked(worker)
        assert rollout.gone(worker) is Outcome.NONE
    assert rollout.wanted.document == b"one"


def test_the_end_of_a_worker_nobody_knows_changes_nothing() -> None:
    rollout = started(10)
    assert rollout.gone(99) is Outcome.NONE
    assert rollout.ready(99, 1) is Outcome.NONE
