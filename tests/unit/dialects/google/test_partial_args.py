import msgspec
import pytest

from gatewright.core.errors import GatewayError, Kind
from gatewright.dialects.google.members import Members
from gatewright.dialects.google.partial_args import PartialArguments, is_partial


def members(value: object) -> Members:
    return Members.parse(msgspec.json.encode(value), "call", Kind.UPSTREAM_BAD_RESPONSE)


def put_together(*pieces: object) -> object:
    arguments = PartialArguments()
    for piece in pieces:
        arguments.add(members(piece))
    return msgspec.json.decode(arguments.text())


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], {}),
        ([{"jsonPath": "$.a", "stringValue": "x"}], {"a": "x"}),
        (
            [
                {"jsonPath": "$.a", "stringValue": "Bos", "willContinue": True},
                {"jsonPath": "$.a", "stringValue": "ton"},
                {"jsonPath": "$.a", "stringValue": ""},
            ],
            {"a": "Boston"},
        ),
        ([{"jsonPath": "$.a", "stringValue": ""}], {"a": ""}),
        ([{"jsonPath": "$.n", "numberValue": 3}, {"jsonPath": "$.x", "numberValue": 0.5}], {"n": 3, "x": 0.5}),
        ([{"jsonPath": "$.b", "boolValue": False}, {"jsonPath": "$.z", "nullValue": None}], {"b": False, "z": None}),
        (
            [{"jsonPath": "$.a.b.c", "stringValue": "x"}, {"jsonPath": "$.a.d", "numberValue": 1}],
            {"a": {"b": {"c": "x"}, "d": 1}},
        ),
        (
            [{"jsonPath": "$.l[0]", "stringValue": "x"}, {"jsonPath": "$.l[2].k", "stringValue": "y"}],
            {"l": ["x", None, {"k": "y"}]},
        ),
        (
            [{"jsonPath": "$['a b'].c", "stringValue": "x"}, {"jsonPath": '$["it\\"s"]', "boolValue": True}],
            {"a b": {"c": "x"}, 'it"s': True},
        ),
        ([{"jsonPath": "$.a", "stringValue": "x"}, {"jsonPath": "$.a.b", "stringValue": "y"}], {"a": {"b": "y"}}),
        ([{"jsonPath": "$.s", "structValue": {"k": [1]}}], {"s": {"k": [1]}}),
    ],
)
def test_pieces_make_the_object(pieces: list[object], expected: object) -> None:
    assert put_together(*pieces) == expected


@pytest.mark.parametrize("path", ["", "a", "$", "$[0]", "$.a[", "$.a[99999]", "$..a", "$" + ".a" * 200])
def test_paths_that_cannot_be_followed(path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        put_together({"jsonPath": path, "stringValue": "x"})
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def test_arguments_that_came_whole_at_first() -> None:
    arguments = PartialArguments()
    arguments.start_with({"a": 1})
    arguments.start_with(None)
    arguments.add(members({"jsonPath": "$.b", "stringValue": "x"}))
    assert msgspec.json.decode(arguments.text()) == {"a": 1, "b": "x"}


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"name": "f"}, False),
        ({"name": "f", "args": {}}, False),
        ({"name": "f", "willContinue": True}, True),
        ({"partialArgs": []}, True),
        ({}, True),
        ({"name": "f", "willContinue": False}, False),
    ],
)
def test_whether_a_call_is_a_piece(call: object, expected: bool) -> None:
    assert is_partial(members(call)) is expected
