import re

from gatewright.core.call_ids import OpenCalls, is_made_up, make_call_id


def test_the_same_place_gives_the_same_id_and_another_place_another() -> None:
    assert make_call_id("r", 0, 1, "f") == make_call_id("r", 0, 1, "f")
    places = [("r", 0, 1, "f"), ("r", 0, 2, "f"), ("r", 0, 1, "g"), ("s", 0, 1, "f")]
    assert len({make_call_id(*place) for place in places}) == 4


def test_an_id_suits_every_api() -> None:
    made = make_call_id("r", 0, "a.b:c d\ud800")
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", made)
    assert is_made_up(made)


def test_ids_of_others_are_not_taken_for_made_up() -> None:
    for other in ("call_abc", "toolu_1", "gwcall_1", "gwcall_" + "x" * 24, make_call_id("a") + "0", ""):
        assert not is_made_up(other)


def opened(*calls: tuple[str, str]) -> OpenCalls:
    calls_made = OpenCalls()
    for call_id, name in calls:
        calls_made.made(call_id, name)
    return calls_made


def test_results_find_their_calls_by_id_in_any_order() -> None:
    calls = opened(("a", "f"), ("b", "f"))
    assert calls.answered("b", "f") == "b"
    assert calls.answered("a", None) == "a"


def test_results_without_ids_go_to_the_open_calls_of_their_name_in_order() -> None:
    calls = opened(("1", "f"), ("2", "g"), ("3", "f"))
    assert [calls.answered(None, name) for name in ("g", "f", "f")] == ["2", "1", "3"]


def test_results_without_a_name_go_to_the_first_open_call() -> None:
    calls = opened(("1", "f"), ("2", "g"))
    assert [calls.answered("", None), calls.answered(None, None)] == ["1", "2"]


def test_a_call_that_nobody_answered_is_not_answered_steps_later() -> None:
    calls = opened(("lost", "f"), ("1", "g"))
    calls.answered(None, "g")
    calls.made("2", "f")
    assert calls.answered(None, "f") == "2"
    assert calls.answered(None, "f") is None


def test_a_result_without_a_call_keeps_its_own_word() -> None:
    assert OpenCalls().answered("x", "f") == "x"
    assert OpenCalls().answered(None, "f") is None
