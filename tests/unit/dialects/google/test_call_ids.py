import re

from gatewright.dialects.google.call_ids import CallIds, is_made_up, make_id


def test_the_same_place_gives_the_same_id_and_another_place_another() -> None:
    assert make_id("r", 0, 1, "f") == make_id("r", 0, 1, "f")
    assert (
        len({make_id("r", 0, 1, "f"), make_id("r", 0, 2, "f"), make_id("r", 0, 1, "g"), make_id("s", 0, 1, "f")}) == 4
    )


def test_an_id_suits_every_api() -> None:
    made = make_id("r", 0, "a.b:c d\ud800")
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", made)
    assert is_made_up(made)


def test_ids_of_others_are_not_taken_for_made_up() -> None:
    for other in ("call_abc", "toolu_1", "gwcall_1", "gwcall_" + "x" * 24, make_id("a") + "0", ""):
        assert not is_made_up(other)


def test_results_find_their_calls_by_id_in_any_order() -> None:
    ids = CallIds()
    assert ids.call("a", "f", 1, 0) == "a"
    assert ids.call("b", "f", 1, 1) == "b"
    assert ids.result("b", "f", 2, 0) == "b"
    assert ids.result("a", "f", 2, 1) == "a"


def test_results_without_ids_go_to_the_open_calls_of_their_name_in_order() -> None:
    ids = CallIds()
    first, other, second = (ids.call(None, name, 1, at) for at, name in enumerate(("f", "g", "f")))
    assert ids.result(None, "g", 2, 0) == other
    assert ids.result(None, "f", 2, 1) == first
    assert ids.result(None, "f", 2, 2) == second
    assert len({first, other, second}) == 3


def test_a_call_that_nobody_answered_is_not_answered_steps_later() -> None:
    ids = CallIds()
    lost = ids.call(None, "f", 1, 0)
    ids.call(None, "g", 1, 1)
    ids.result(None, "g", 2, 0)
    again = ids.call(None, "f", 3, 0)
    assert ids.result(None, "f", 4, 0) == again != lost


def test_a_result_without_a_call_has_an_id_nonetheless() -> None:
    assert is_made_up(CallIds().result(None, "f", 2, 0))
    assert CallIds().result("x", "f", 2, 0) == "x"


def test_a_longer_history_gives_the_same_ids() -> None:
    def ids(steps: int) -> list[str]:
        found, calls = [], CallIds()
        for step in range(steps):
            found.append(calls.call(None, "f", 2 * step + 1, 0))
            calls.result(None, "f", 2 * step + 2, 0)
        return found

    assert ids(5)[:3] == ids(3)
    assert len(set(ids(5))) == 5
