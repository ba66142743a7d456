import pytest

from gatewright.config.json_reader import parse_json
from gatewright.config.problems import ConfigError
from gatewright.config.tree import Node, find


def read(text: str) -> Node:
    problems: list[ConfigError] = []
    tree = parse_json("f.json", text, problems)
    assert problems == []
    assert tree is not None
    return tree


def refusal(text: str) -> str:
    problems: list[ConfigError] = []
    assert parse_json("f.json", text, problems) is None
    (problem,) = problems
    return str(problem)


def test_values_and_their_lines() -> None:
    tree = read('{\n\t"a": [1, -2.5, true,\n null],\n "b\\n": {"c": "x\\"y, {", "d": "\\u00fc\\ud83d\\ude00"}\n}')
    expected = {"a": 2, "a[0]": 2, "a[3]": 3, '"b\\n".c': 4, '"b\\n".d': 4}
    assert {path: node.line for path in expected if (node := find(tree, path))} == expected
    values = ["a[0]", "a[1]", "a[2]", "a[3]", '"b\\n".c', '"b\\n".d']
    assert [node.value for path in values if (node := find(tree, path))] == [1, -2.5, True, None, 'x"y, {', "ü😀"]


@pytest.mark.parametrize("text", ["{}", "[]", "null", '""', " 1 ", '{"a": {}, "b": []}'])
def test_small_documents(text: str) -> None:
    assert read(text).line == 1


def test_a_key_written_twice_is_told() -> None:
    problems: list[ConfigError] = []
    assert parse_json("f.json", '{"a": 1,\n"a": 2}', problems) is not None
    assert [str(p) for p in problems] == ["f.json:2: a: is written twice, on line 1 and again on line 2; keep one"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.json:1: not valid JSON: Input data was truncated"),
        ('{"a":\n 1,}', "f.json:2: not valid JSON: "),
        ('{"a": 1}\n}', "f.json:2: not valid JSON: trailing characters"),
        ("{'a': 1}", "f.json:1: not valid JSON: "),
        ('{"a": 1} // why', "f.json:1: not valid JSON: "),
        ('{"a": NaN}', "f.json:1: not valid JSON: "),
        ('{"a": 1e999}', "f.json:1: not valid JSON: "),
        ('{"a": 99999999999999999999}', "f.json:1: a number that does not fit into 64 bits"),
        ("[" * 100_000, "f.json:1: nested deeper than 64 levels"),
        ("[" * 65 + "]" * 65, "f.json:1: nested deeper than 64 levels"),
        ('"\\ud800"', "f.json:1: not valid JSON: "),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, message: str) -> None:
    assert refusal(text).startswith(message)
