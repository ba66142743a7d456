import re

import pytest
import yaml

from gatewright.config.problems import ConfigError
from gatewright.config.tree import Node, Scalar, find
from gatewright.config.yaml_reader import parse_yaml, resolve_plain


def plain(node: Node) -> object:
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    return [plain(child) for child in node.value] if isinstance(node.value, list) else node.value


def read(text: str) -> object:
    problems: list[ConfigError] = []
    tree = parse_yaml("f.yaml", text, problems)
    assert problems == []
    assert tree is not None
    return plain(tree)


def refusal(text: str) -> str:
    problems: list[ConfigError] = []
    assert parse_yaml("f.yaml", text, problems) is None
    (problem,) = problems
    return str(problem)


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "n", "On", "NO", "tRue", "nil", "None"])
def test_only_true_and_false_are_booleans(word: str) -> None:
    assert resolve_plain(word) == word


@pytest.mark.parametrize("word", ["010", "0x1F", "0o17", "1:30", "12:30:45", "1_000", "0b1", ".inf", ".nan", "-.INF"])
def test_numbers_are_decimal(word: str) -> None:
    assert resolve_plain(word) == word


@pytest.mark.parametrize("word", ["2024-01-01", "127.0.0.1:8080", "1.2.3", "-", "+", ".", "e5", "1e", "0.0.0.0", "٣"])
def test_what_looks_nearly_like_a_number_is_text(word: str) -> None:
    assert resolve_plain(word) == word


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("0", 0),
        ("-7", -7),
        ("+7", 7),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("-2.5E-1", -0.25),
    ],
)
def test_what_plain_words_mean(word: str, value: Scalar) -> None:
    resolved = resolve_plain(word)
    assert resolved == value
    assert type(resolved) is type(value)


def test_a_key_is_the_text_that_was_written() -> None:
    text = "on: 1\nyes: 2\n42: 3\nnull: 4\n1.10: 5\ntrue: 6\n'': 7\n"
    assert read(text) == {"on": 1, "yes": 2, "42": 3, "null": 4, "1.10": 5, "true": 6, "": 7}


def test_quotes_and_blocks_make_text() -> None:
    text = "a: '1'\nb: \"true\"\nc: |\n  1\n  2\nd: >-\n  x\n  y\ne: !!str 1\nf: ! 2"
    assert read(text) == {"a": "1", "b": "true", "c": "1\n2\n", "d": "x y", "e": "1", "f": "2"}


def test_flow_and_block_mean_the_same() -> None:
    assert read("a: {b: [1, two], c: null}") == read("a:\n  b:\n    - 1\n    - two\n  c:\n")


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "\ufeff", "null"])
def test_a_file_with_nothing_in_it_is_empty(text: str) -> None:
    assert read(text.removeprefix("\ufeff")) is None


def test_lines_are_those_of_the_keys_and_entries() -> None:
    text = "# comment\nmodels:\n  a:\n    targets:\n      - provider: x\n      -\n        provider: y\n"
    tree = parse_yaml("f.yaml", text, [])
    assert tree is not None
    lines = {path: found.line for path in PATHS if (found := find(tree, path))}
    assert lines == PATHS


PATHS = {
    "models": 2,
    "models.a": 3,
    "models.a.targets": 4,
    "models.a.targets[0]": 5,
    "models.a.targets[0].provider": 5,
    "models.a.targets[1]": 7,
    "models.a.targets[1].provider": 7,
}


def test_aliases_stand_for_what_they_name_at_their_own_line() -> None:
    tree = parse_yaml("f.yaml", "a: &x {k: [1, 2]}\nb: *x\nc: [&y text, *y]\n", [])
    assert tree is not None
    assert plain(tree) == {"a": {"k": [1, 2]}, "b": {"k": [1, 2]}, "c": ["text", "text"]}
    b, k = find(tree, "b"), find(tree, "b.k")
    assert b is not None
    assert k is not None
    assert (b.line, k.line) == (2, 1)


def test_a_merge_key_gives_what_is_not_written() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: *a, x: 0}\nd: {<<: [*a, *b]}\n"
    assert read(text) == {
        "a": {"x": 1, "y": 1},
        "b": {"y": 2, "z": 2},
        "c": {"x": 0, "y": 1},
        "d": {"x": 1, "y": 1, "z": 2},
    }


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    assert "f.yaml:6: more than 500000 values" in refusal("\n".join(lines))


def test_aliases_cannot_nest_deeper_than_brackets_may() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 80)]
    assert "nested deeper than 64 levels" in refusal("\n".join(lines))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n\tb: 1", "f.yaml:2: not valid YAML: found character that cannot start any token; indent with spaces"),
        ("p: {key: ${env:X}}", 'f.yaml:1: not valid YAML: .*; put a reference .* in quotes: "\\${env:NAME}"'),
        ("p: [${env:X}]", 'f.yaml:1: not valid YAML: .*; put a reference .* in quotes: "\\${env:NAME}"'),
        ("models:\n  *: {}", "f.yaml:2: .*; put text that begins with a special character in quotes"),
        ("a: @x", "f.yaml:1: .*; put text that begins with a special character in quotes"),
        ("a: 1\n b: 2", "f.yaml:2: .*; check how far this line and the one before are indented"),
        ("name: a: b", "f.yaml:1: .*; put text that holds a colon in quotes"),
        ("a: [1,\nb: 2", r"f.yaml:2: .*\(while parsing a flow sequence that begins on line 1\)"),
        ("a: 'open", "f.yaml:1: not valid YAML: found unexpected end of stream"),
        ("ok: 1\nbad: \x00", "f.yaml:2: not valid YAML: .*; remove the character"),
        ("a: *nowhere", "f.yaml:1: no anchor `&nowhere` ends before this alias"),
        ("a: &a [*a]", "f.yaml:1: no anchor `&a` ends before this alias"),
        ("&a k: 1\n*a : 2", 'f.yaml:2: a key must be text; put the name in quotes: "\\*a"'),
        ("[1]: 2", "f.yaml:1: a key must be text"),
        ("? {a: 1}\n: 2", "f.yaml:1: a key must be text"),
        ("a: 1\n---\nb: 2", "f.yaml:2: a second YAML document begins"),
        ("a: !!python/object:os.system x", "f.yaml:1: the tag `.*os.system` has no meaning here; remove it"),
        ("a: !secret {b: 1}", "f.yaml:1: the tag `!secret` has no meaning here; remove it"),
        ("a: !!binary aGk=", "f.yaml:1: the tag `.*binary` has no meaning here; remove it"),
        ("a: 99999999999999999999", "f.yaml:1: a number that does not fit into 64 bits"),
        ("a: 1e999", "f.yaml:1: a number that does not fit into 64 bits"),
        ("a: " + "1" * 5000, "f.yaml:1: a number of more than 400 digits"),
        ("a: {<<: 1}", "f.yaml:1: `<<` merges mappings"),
        ("a: {<<: [1]}", "f.yaml:1: `<<` merges mappings"),
    ],
)
def test_what_cannot_be_read_is_told_with_line_and_remedy(text: str, message: str) -> None:
    assert re.match(message, refusal(text)), refusal(text)


def test_a_hint_on_a_huge_line_costs_nothing() -> None:
    assert "not valid YAML" in refusal(":" * 1_000_000)


def test_without_libyaml_it_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "on: &a {x: 010, y: [1, 'two', \"ü\"]}\nz:\n  <<: *a\n  w: |\n    block\n"
    expected = read(text)
    monkeypatch.setattr("gatewright.config.yaml_reader._LOADER", yaml.SafeLoader)
    assert read(text) == expected
    assert refusal("a:\n\tb: 1").startswith("f.yaml:2: not valid YAML: ")
    assert "remove the character" in refusal("a: \x07")
    assert "half a surrogate pair" in refusal('a: "\\ud800"')
    assert "half a surrogate pair" in refusal('"\\ud800": a')
