import pytest

from gatewright.control.key_rules import check_consumer, check_key, is_plain
from gatewright.control.refusals import Unacceptable
from gatewright.core.consumer import Scopes

PATH = "acme/search/indexer"


@pytest.mark.parametrize("path", [PATH, "a/b/c", "A.b-c_/9/..x", f"{'x' * 128}/b/c"])
def test_paths_of_three_names_are_taken(path: str) -> None:
    check_consumer(path, "")
    check_key(path, "", Scopes(), None, 100.0)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "acme",
        "acme/search",
        "acme/search/indexer/more",
        "/acme/search",
        "acme//indexer",
        "acme/search/",
        "../search/indexer",
        "acme/./indexer",
        "acme/sea rch/indexer",
        "acme/search/indexer\n",
        "acme/search/*",
        "äcme/search/indexer",
        f"{'x' * 129}/b/c",
        "a/b/c' OR 1=1 --",
        "a/b/\0",
    ],
)
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(Unacceptable) as of_key:
        check_key(path, "", Scopes(), None, 100.0)
    with pytest.raises(Unacceptable) as of_consumer:
        check_consumer(path, "")
    # Each is told at the member that the admin API calls it by.
    assert [error.path for error in of_key.value.errors] == ["consumer"]
    assert [error.path for error in of_consumer.value.errors] == ["path"]


@pytest.mark.parametrize(
    ("scopes", "place"),
    [
        (Scopes(models=("",)), "models[0]"),
        (Scopes(models=("gpt-4", "g*t")), "models[1]"),
        (Scopes(models=("a\nb",)), "models[0]"),
        (Scopes(models=("x" * 301,)), "models[0]"),
        (Scopes(models=tuple(str(n) for n in range(501))), "models"),
        (Scopes(surfaces=("chat_completion",)), "surfaces[0]"),
        (Scopes(surfaces=("chat_completions", "'; DROP TABLE keys; --")), "surfaces[1]"),
        (Scopes(networks=("10.0.0.1/8",)), "networks[0]"),
        (Scopes(networks=("10.0.0.0/8", "example.com")), "networks[1]"),
        (Scopes(networks=("",)), "networks[0]"),
    ],
)
def test_scopes_that_make_no_sense_are_refused_at_their_place(scopes: Scopes, place: str) -> None:
    with pytest.raises(Unacceptable) as refused:
        check_key(PATH, "", scopes, None, 100.0)
    assert [error.path for error in refused.value.errors] == [place]


def test_a_surface_that_was_nearly_right_is_suggested() -> None:
    with pytest.raises(Unacceptable, match="did you mean chat_completions"):
        check_key(PATH, "", Scopes(surfaces=("chat_completion",)), None, 100.0)


def test_scopes_come_out_in_their_normal_form() -> None:
    scopes = Scopes(("gpt-*", "gpt-*"), ("chat_completions",), ("192.0.2.7", "2001:DB8::/32"))
    assert check_key(PATH, "", scopes, 200, 100.0) == Scopes(
        ("gpt-*",), ("chat_completions",), ("192.0.2.7/32", "2001:db8::/32")
    )


@pytest.mark.parametrize("expires_at", [-1, 0, 100, 253_402_300_800, 1 << 70])
def test_a_key_ends_in_the_time_to_come(expires_at: int) -> None:
    with pytest.raises(Unacceptable, match="expires_at"):
        check_key(PATH, "", Scopes(), expires_at, 100.0)


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(Unacceptable) as refused:
        check_key("a", "\0", Scopes(("",), ("x",), ("y",)), 5, 100.0)
    assert {error.path for error in refused.value.errors} == {
        "consumer",
        "name",
        "models[0]",
        "surfaces[0]",
        "networks[0]",
        "expires_at",
    }


@pytest.mark.parametrize(("text", "plain"), [("", True), ("Zoë's key", True), ("\0", False), ("\ud800", False)])
def test_what_no_database_can_hold_is_known(text: str, plain: bool) -> None:
    assert is_plain(text) is plain
