import pytest

from gatewright.config.problems import ConfigError
from gatewright.config.tree import (
    MAX_DEPTH,
    MAX_KEY_CHARACTERS,
    MAX_NODES,
    Node,
    Scalar,
    TreeBuilder,
    Unreadable,
    find,
    join,
)


def node(value: object, line: int = 1) -> Node:
    if isinstance(value, dict):
        value = {key: node(child, line + 1 + index) for index, (key, child) in enumerate(value.items())}
    elif isinstance(value, list):
        value = [node(child, line + 1 + index) for index, child in enumerate(value)]
    return Node(file="f", line=line, value=value)  # type: ignore[arg-type]


def builder() -> tuple[TreeBuilder, list[ConfigError]]:
    problems: list[ConfigError] = []
    return TreeBuilder("f", problems), problems


@pytest.mark.parametrize(
    ("path", "key", "joined"),
    [
        ("", "models", "models"),
        ("models", "gpt-4.1", "models.gpt-4.1"),
        ("targets", 0, "targets[0]"),
        ("models", "two\nlines", 'models."two\\nlines"'),
        ("models", '"quoted"', 'models."\\"quoted\\""'),
        ("", "größe", "größe"),
    ],
)
def test_paths_are_joined(path: str, key: str | int, joined: str) -> None:
    assert join(path, key) == joined


ROOT = node(
    {
        "models": {
            "gpt-4": {"attempts": 1},
            "gpt-4.1": {"targets": [{"provider": "a"}, {"provider": "b"}]},
            "a": {"b": {"c": 1}},
            "a.b": {"d": 2},
            "x[0]": [["deep"]],
            "two\nlines": {"y": 3},
        }
    }
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("models.gpt-4.attempts", 1),
        ("models.gpt-4.1.targets[1].provider", "b"),
        ("models.a.b.c", 1),
        ("models.a.b.d", 2),
        ("models.x[0][0][0]", "deep"),
        ('models."two\\nlines".y', 3),
    ],
)
def test_a_path_finds_its_node_although_keys_hold_dots_and_brackets(path: str, value: object) -> None:
    found = find(ROOT, path)
    assert found is not None
    assert found.value == value


def test_the_deepest_part_that_exists_is_found() -> None:
    targets = find(ROOT, "models.gpt-4.1.targets")
    assert targets is not None
    assert find(ROOT, "models.gpt-4.1.targets[7].provider") is targets
    assert find(ROOT, "models.gpt-4.1.targets.x") is targets
    assert find(ROOT, "models.nothing.here") is find(ROOT, "models")
    assert find(ROOT, "") is ROOT
    assert find(ROOT, "policies[0]") is None
    assert find(ROOT, 'models."broken\\x".y') is find(ROOT, "models")


def test_keys_full_of_dots_do_not_take_exponential_time() -> None:
    nested = Node(file="f", line=1, value=1)
    for _ in range(40):
        nested = Node(file="f", line=1, value={"a": nested, "a.a": nested})
    assert find(nested, ".".join(["a"] * 60) + ".b") is not None


def test_a_built_tree_knows_the_line_of_each_key() -> None:
    build, problems = builder()
    build.begin({}, 1)
    build.key("listen", 2)
    build.scalar("x", 3)
    build.key("models", 4)
    build.begin([], 5)
    build.scalar(1, 6)
    build.end()
    root = build.end()
    assert build.root is root
    assert problems == []
    assert isinstance(root.value, dict)
    assert [child.line for child in root.value.values()] == [2, 4]
    assert (root.size, root.height) == (4, 3)
    one = find(root, "models[0]")
    assert one is not None
    assert (one.value, one.line) == (1, 6)


def test_a_key_written_twice_is_told_with_both_lines_and_the_first_counts() -> None:
    build, problems = builder()
    build.begin({}, 1)
    for line, value in ((2, "first"), (9, "second")):
        build.key("listen", line)
        build.scalar(value, line)
    build.end()
    assert problems == [ConfigError("listen", "is written twice, on line 2 and again on line 9; keep one", "f", 9)]
    first = find(build.root, "listen") if build.root else None
    assert first is not None
    assert first.value == "first"


def test_depth_is_limited() -> None:
    build, _ = builder()
    for line in range(1, MAX_DEPTH + 1):
        build.begin([], line)
    with pytest.raises(Unreadable, match="nested deeper than 64 levels") as caught:
        build.begin([], 99)
    assert caught.value.line == 99


def test_an_alias_counts_with_all_that_is_in_it() -> None:
    build, _ = builder()
    build.begin([], 1)
    build.again(Node(file="f", line=1, value=[], size=MAX_NODES - 1, height=2), 2)
    with pytest.raises(Unreadable, match="more than 500000 values"):
        build.scalar(1, 3)
    deep, _ = builder()
    with pytest.raises(Unreadable, match="nested deeper"):
        deep.again(Node(file="f", line=1, value=[], size=1, height=MAX_DEPTH + 1), 2)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, float("inf"), float("nan"), "\ud800"])
def test_what_cannot_be_stored_is_refused(value: Scalar) -> None:
    with pytest.raises(Unreadable):
        builder()[0].scalar(value, 1)


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 1.7e308, "ünï", True, None, ""])
def test_everything_else_is_kept_as_it_is(value: Scalar) -> None:
    assert builder()[0].scalar(value, 1).value is value


def test_a_key_of_absurd_length_is_refused() -> None:
    build, _ = builder()
    build.begin({}, 1)
    with pytest.raises(Unreadable, match="no name is that long"):
        build.key("k" * (MAX_KEY_CHARACTERS + 1), 1)
