import copy
import pickle
import traceback

import msgspec
import pytest

from gatewright.core.secret import Secret


def test_only_reveal_gives_the_value() -> None:
    assert Secret("sk-1").reveal() == "sk-1"


@pytest.mark.parametrize("render", [str, repr, ascii, "{}".format, "{:>20}".format, "{!r}".format, lambda s: f"%{s}%"])
def test_no_rendering_shows_the_value(render: object) -> None:
    shown = render(Secret("sk-live"))  # type: ignore[operator]
    assert "sk-live" not in shown
    assert "***" in shown


def test_a_container_and_a_struct_do_not_show_it_either() -> None:
    class Holder(msgspec.Struct):
        key: Secret

    assert "sk-live" not in repr([{"key": Secret("sk-live")}])
    assert "sk-live" not in repr(Holder(Secret("sk-live")))


def test_a_traceback_does_not_show_it() -> None:
    secret = Secret("sk-live")
    with pytest.raises(ValueError, match="bad key") as caught:
        raise ValueError("bad key", secret)
    assert "sk-live" not in "".join(traceback.format_exception(caught.value))


def test_it_is_equal_to_its_like_and_to_no_string() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_it_is_true_when_there_is_something_in_it() -> None:
    assert Secret("a")
    assert not Secret("")


def test_it_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Secret("a"))
    with pytest.raises(TypeError, match="cannot be pickled"):
        copy.copy(Secret("a"))


@pytest.mark.parametrize("encode", [msgspec.json.encode, msgspec.msgpack.encode, msgspec.yaml.encode])
def test_it_cannot_be_encoded_by_accident(encode: object) -> None:
    with pytest.raises(Exception, match="Secret"):
        encode({"key": Secret("a")})  # type: ignore[operator]


def test_it_takes_no_further_attributes() -> None:
    with pytest.raises(AttributeError):
        Secret("a").note = "x"  # type: ignore[attr-defined]
