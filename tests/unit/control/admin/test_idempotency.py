"""What is sent twice with one key is done once."""

from __future__ import annotations

import pytest

from gatewright.control.admin import idempotency
from gatewright.control.admin.idempotency import KEPT_S, Answer, Answers
from gatewright.control.admin.problems import Problem
from gatewright.testing.clock import FakeClock

PLACE = ("key-id", "POST", "/admin/v1/keys", "k1")
ANSWER = Answer(201, [(b"content-type", b"application/json")], b"{}")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def answers(clock: FakeClock) -> Answers:
    return Answers(clock)


def test_the_answer_is_given_again_for_a_while(answers: Answers, clock: FakeClock) -> None:
    assert answers.begin(PLACE, b"body") is None
    answers.finish(PLACE, ANSWER)
    clock.advance(KEPT_S)
    assert answers.begin(PLACE, b"body") == ANSWER
    clock.advance(0.1)
    assert answers.begin(PLACE, b"body") is None


def test_another_body_and_a_request_that_still_runs_are_conflicts(answers: Answers) -> None:
    answers.begin(PLACE, b"body")
    for body in (b"body", b"other"):
        with pytest.raises(Problem) as refused:
            answers.begin(PLACE, body)
        assert refused.value.status == 409


def test_a_failure_may_be_tried_again(answers: Answers) -> None:
    answers.begin(PLACE, b"body")
    answers.finish(PLACE, None)
    assert answers.begin(PLACE, b"other") is None


def test_another_admin_key_gets_nothing_of_it(answers: Answers) -> None:
    answers.begin(PLACE, b"body")
    answers.finish(PLACE, ANSWER)
    assert answers.begin(("other", *PLACE[1:]), b"body") is None


@pytest.mark.parametrize("key", ["", "x" * 201, "a\x00", "a\nb"])
def test_what_is_no_key_is_refused(answers: Answers, key: str) -> None:
    with pytest.raises(Problem) as refused:
        answers.begin((*PLACE[:-1], key), b"")
    assert refused.value.status == 400


def test_many_keys_take_no_memory_without_end(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MAX_KEPT", 2)
    for number in range(4):
        place = (*PLACE[:-1], f"k{number}")
        answers.begin(place, b"")
        answers.finish(place, ANSWER)
    assert answers.begin((*PLACE[:-1], "k3"), b"") == ANSWER
    assert answers.begin((*PLACE[:-1], "k0"), b"") is None
