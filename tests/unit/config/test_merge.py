import pytest

from gatewright.config.merge import merge, override
from gatewright.config.problems import ConfigError
from gatewright.config.references import expand
from gatewright.config.tree import Node, find
from gatewright.config.yaml_reader import parse_yaml


def merged(*texts: str) -> tuple[Node, list[str]]:
    problems: list[ConfigError] = []
    trees = [parse_yaml(f"{index}.yaml", text, problems) for index, text in enumerate(texts)]
    root = merge([tree for tree in trees if tree], problems)
    return root, [str(problem) for problem in problems]


def data(root: Node) -> object:
    return expand(root, "", lambda scheme, name: None, [])


def test_names_are_united_and_policies_put_after_one_another() -> None:
    root, problems = merged(
        "listen: a\nproviders: {p: {type: x}}\npolicies: [{filter: one}]",
        "providers: {q: {type: y}}\nmodels: {m: {}}\npolicies: [{filter: two}]\n",
    )
    assert problems == []
    assert data(root) == {
        "listen": "a",
        "providers": {"p": {"type": "x"}, "q": {"type": "y"}},
        "models": {"m": {}},
        "policies": [{"filter": "one"}, {"filter": "two"}],
    }
    second = find(root, "policies[1].filter")
    assert second is not None
    assert (second.file, second.line) == ("1.yaml", 3)


@pytest.mark.parametrize("section", ["providers", "models", "consumers", "catalogue"])
def test_a_name_in_two_files_is_told_with_both_places(section: str) -> None:
    _, problems = merged(f"{section}:\n  one: {{}}", f"{section}: {{two: {{}},\n\n one: {{}}}}")
    assert problems == [f"1.yaml:3: {section}.one: is written in two files, 0.yaml:2 and 1.yaml:3; keep one"]


@pytest.mark.parametrize("text", ["listen: a", "limits: {body_bytes: 1}", "anonymous: true"])
def test_any_other_key_may_stand_in_one_file_only(text: str) -> None:
    root, problems = merged(text, text)
    key = text.partition(":")[0]
    assert problems == [f"1.yaml:1: {key}: is written in two files, 0.yaml:1 and 1.yaml:1; keep one"]
    first = find(root, key)
    assert first is not None
    assert first.file == "0.yaml"


def test_sections_of_different_shapes_are_not_mixed() -> None:
    _, problems = merged("models: {a: {}}", "models: [b]")
    assert problems == ["1.yaml:1: models: is written in two files, 0.yaml:1 and 1.yaml:1; keep one"]


def test_empty_sections_and_empty_files_are_nothing() -> None:
    root, problems = merged("", "models:\nlisten: a", "models: {a: {}}\nlisten:", "# nothing")
    assert problems == []
    assert data(root) == {"models": {"a": {}}, "listen": "a"}


def test_a_file_must_be_a_mapping() -> None:
    _, problems = merged("- a")
    assert problems == ["0.yaml:1: expected a mapping at the top, with keys such as `providers:` and `models:`"]


def test_the_address_of_the_schema_is_skipped() -> None:
    assert data(merged("$schema: x.json\nlisten: a", "$schema: y.json")[0]) == {"listen": "a"}


def test_nothing_at_all_is_an_empty_document() -> None:
    assert data(merge([], [])) == {}


def test_an_override_replaces_and_has_no_line() -> None:
    root, _ = merged("listen: a")
    override(root, {"listen": "b", "admin": "c"}, "command line")
    assert data(root) == {"listen": "b", "admin": "c"}
    listen = find(root, "listen")
    assert listen is not None
    assert (listen.file, listen.line) == ("command line", None)
