"""Expressions: what they may read is told from their text, and what is wrong is said before they are used."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.pipeline.expressions import (
    FUNCTIONS,
    MAX_SOURCE,
    Expression,
    ExpressionError,
    Path,
    compile_expression,
)

NAMES: dict[str, Any] = {"request": ("model", "headers", "tools"), "jwt": None, "user": None}
FACTS: dict[str, Any] = {
    "request": {"model": "gpt-4.1", "headers": {"x-team": "red"}, "tools": 2},
    "jwt": {"email": "Ann@Example.com", "groups": ["a", "b"], "level": 3, "none": None, "teams": [["a"], ["b"]]},
    "user": "ann",
}
LONG: dict[str, Any] = FACTS | {"user": "," * 300, "request": FACTS["request"] | {"model": "," * 500}}


def compiled(source: str) -> Expression:
    return compile_expression(source, NAMES)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("true", True),
        ('request.model.startsWith("gpt-")', True),
        ("request.tools > 1 && request.tools < 3", True),
        ('"b" in jwt.groups', True),
        ('jwt.groups.exists(g, g == "c")', False),
        ('jwt.teams.all(t, t.exists(x, x == "a" || x == "b"))', True),
        ('has(jwt.groups) ? jwt.groups[0] : "none"', "a"),
        ("has(jwt.absent)", False),
        ('"acme/" + jwt.groups[1] + "/" + user', "acme/b/ann"),
        ('jwt.email.split("@")[1].lowerAscii()', "example.com"),
        ('"ÄB".lowerAscii()', "Äb"),
        ("user.upperAscii()", "ANN"),
        ('" a ".trim()', "a"),
        ('"abc".split("")', ["a", "b", "c"]),
        ('request.headers["x-team"].matches("^(red|blue)$")', True),
        ("jwt.none == null", True),
        ("type(jwt.level) == int", True),
        ("jwt.level", 3),
        ('{"a": user}', {"a": "ann"}),
        ("// a comment\nuser", "ann"),
    ],
)
def test_values(source: str, value: object) -> None:
    assert compiled(source).evaluate(FACTS) == value


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("true", set()),
        ("user", {("user",)}),
        ('"request.model" == user', {("user",)}),
        ("'it\\'s request' == user", {("user",)}),
        (r'r"\" == user && "request" != user', {("user",)}),
        ('"""a " request""" == user', {("user",)}),
        ("'''a ' request''' == user", {("user",)}),
        ('br"request" == b"""jwt"""', set()),
        ("user // request", {("user",)}),
        ("request", {("request",)}),
        ("request == request.model", {("request",), ("request", "model")}),
        ("request . model", {("request", "model")}),
        ('request["model"]', {("request", "model")}),
        ('request["mo" + "del"]', {("request",)}),
        ('request["\\x6dodel"]', {("request",)}),
        ("request.model.startsWith(user)", {("request", "model"), ("user",)}),
        ("request.headers['x-team']", {("request", "headers", "x-team")}),
        ('"x-team" in request.headers', {("request", "headers")}),
        ("jwt.a.b.c.d", {("jwt", "a", "b")}),
        ("has(jwt.a)", {("jwt", "a")}),
        ("size(jwt)", {("jwt",)}),
        ("jwt.groups.exists(user, user == 'x')", {("jwt", "groups")}),
        ("jwt.groups.exists(g, g == user) && user != ''", {("jwt", "groups"), ("user",)}),
        ("jwt.groups.map(user, user).size() > 0 || user == ''", {("jwt", "groups"), ("user",)}),
        ("jwt.a.filter(x, x.request == 1)", {("jwt", "a")}),
        ("{user: jwt.a}", {("user",), ("jwt", "a")}),
        ("[user, user][0]", {("user",)}),
        ("1u == 0x1F ? 1e5 : 1.5e3", set()),
    ],
)
def test_what_it_reads_is_told(source: str, reads: set[Path]) -> None:
    expression = compiled(source)
    assert expression.reads == reads
    assert expression.names == {path[0] for path in reads}


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("user == ", "at character 9: mismatched input end of the expression"),
        ("user\n  == ", "at line 2, character 6"),
        ('"a', "at character 1: token recognition error"),
        ("users", "there is no `users`; did you mean `user`?"),
        ("zzz", "there is no `zzz`; there is `jwt`, `request`, `user`"),
        ("request.modle", "`request` has no member `modle`; did you mean `model`?"),
        ("request.zzz", "there is `headers`, `model`, `tools`"),
        (".user", "there is no `.user`"),
        ("g == 'a' || jwt.groups.exists(g, g == 'a')", "there is no `g`"),
        ("jwt.groups.exists(g, g == 'a') && g", "there is no `g`"),
        ("jwt.groups.exists(g, g == h)", "there is no `h`"),
        ("user.lower()", "there is no function `lower`; did you mean `lowerAscii`?"),
        ("f(user)", "there is no function `f`; there is `bytes`"),
        ('user.matches("(")', "at character 6: the pattern of matches() is not a regular expression"),
        ("user.matches(jwt.p)", "at character 6: write the pattern of matches() out"),
        ('user.matches("a" + jwt.p)', "write the pattern of matches() out"),
        ("jwt.a.all(x, jwt.b.all(y, jwt.c.all(z, true)))", "at character 37: at most 2 macros"),
        ("jwt.a.exists(x, jwt.b.map(y, y) == [])", "at character 27: `map` may not stand in another macro"),
        ("jwt.a.map(x, jwt.b.filter(y, true))", "at character 27: `filter` may not stand in another macro"),
        ("Message{a: 1}", "there is no `Message`"),
        ("`user`", "at character 1"),
        ("(" * 500 + "user" + ")" * 500, "at character"),
        ("user" + " " * MAX_SOURCE, "has 4100 characters; at most 4096"),
    ],
)
def test_what_is_wrong_is_said_before_it_is_used(source: str, says: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        compiled(source)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("jwt.absent", "there is no member `absent`"),
        ('jwt["absent"] == 1', "there is no member `absent`"),
        ("jwt.none > 1", "does not fit its operands, one of which may be null"),
        ("user > 1", "does not fit its operands"),
        ("jwt.groups[5]", "out of bounds"),
        ("1 / 0", "by zero"),
        ("9223372036854775807 + jwt.level", "overflow"),
        ("int(user)", "'int'"),
        ("size(jwt.level)", "`size` does not fit its operands"),
        ("jwt.level.startsWith('a')", "does not fit its operands"),
        ("jwt.level.lowerAscii()", "a function does not fit its operands"),
        ("jwt.groups.split(',')", "a function does not fit its operands"),
        ("user.split()", "a function does not fit its operands"),
    ],
)
def test_what_cannot_be_evaluated_is_an_error_and_not_a_value(
    source: str, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExpressionError) as failed:
        compiled(source).evaluate(FACTS)
    assert says in str(failed.value)
    assert capfd.readouterr() == ("", ""), "a request must not be able to fill the log"


@pytest.mark.parametrize(
    ("source", "is_evaluated"),
    [
        ("user.split(',').map(part, part.trim()).size() == 301", True),
        ("request.model.split('').size() == 500", True),
        ("request.model.split(',').size() > 0", False),
        ("jwt.groups.exists(g, user.split(',').exists(part, g == part))", False),
    ],
)
def test_splitting_gives_so_many_parts_and_no_more(source: str, is_evaluated: bool) -> None:
    if is_evaluated:
        assert compiled(source).evaluate(LONG) is True
        return
    with pytest.raises(ExpressionError, match="`split` finds too many parts"):
        compiled(source).evaluate(LONG)


@pytest.mark.parametrize(
    ("source", "count", "is_evaluated"),
    [
        ("jwt.a.map(x, x + 1).size() > 0", 500, True),
        ("jwt.a.map(x, x + 1).size() > 0", 501, False),
        ("jwt.a.exists(x, jwt.a.exists(y, x < y))", 200, True),
        ("jwt.a.exists(x, jwt.a.exists(y, x < y))", 201, False),
        ("jwt.a.exists(x, x > 0) && jwt.a.exists(y, y > 0)", 500, True),
        ("size(jwt.a) > 0 && 1 in jwt.a", 5_000, True),
    ],
)
def test_macros_go_through_so_many_values_and_no_more(source: str, count: int, is_evaluated: bool) -> None:
    facts = {"jwt": {"a": list(range(count))}}
    if is_evaluated:
        assert compiled(source).evaluate(facts) is True
        return
    with pytest.raises(ExpressionError, match="a list has more values than macros go through"):
        compiled(source).evaluate(facts)


@pytest.mark.parametrize("inner", [dict.fromkeys(map(str, range(501)), 1), [0] * 501])
def test_wherever_they_stand(inner: object) -> None:
    with pytest.raises(ExpressionError, match="a list has more values"):
        compiled("jwt.a.exists(x, true)").evaluate({"jwt": {"a": [1], "b": {"c": [inner]}}})


@pytest.mark.parametrize("odd", [object(), {1, 2}, 10**400, "\ud800", {None: 1}])
def test_facts_that_cel_cannot_hold_are_an_error(odd: object) -> None:
    with pytest.raises(ExpressionError):
        compiled("jwt.a == 1").evaluate({"jwt": {"a": odd}})


def test_values_as_deep_as_json_may_be() -> None:
    deep: Any = 1
    for _ in range(1000):
        deep = [deep]
    assert compiled("type(jwt.a) == list").evaluate({"jwt": {"a": deep}}) is True


def test_every_function_there_is_can_be_called() -> None:
    for name in FUNCTIONS:
        with pytest.raises(ValueError, match="there is no `nobody`"):
            compiled(f"nobody.{name}()")


WORDS = st.sampled_from(["user", "jwt", "x", "y", "size"])


def join(parts: tuple[str, str]) -> str:
    return " + ".join(parts)


EXPRESSIONS = st.recursive(
    st.one_of(
        WORDS.filter(lambda word: word != "size"),
        st.sampled_from(['"user"', "'x \" y'", 'r"\\"', '"""jwt"""', "1u", "0x1f", "1e5", "true", "// x\n1", "b'y'"]),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(join),
        inner.map(lambda one: f"({one}).size()"),
        inner.map(lambda one: f"[{one}].x.y"),
        inner.map(lambda one: f'{{"x": {one}}}["user"]'),
        st.tuples(inner, WORDS, inner).map(lambda parts: f"[{parts[0]}].exists({parts[1]}, {parts[2]})"),
    ),
    max_leaves=6,
)


@given(EXPRESSIONS)
def test_names_are_those_the_engine_finds_except_the_macros_own(source: str) -> None:
    try:
        expression = compile_expression(source, ["user", "jwt", "x", "y"])
    except ValueError as refused:
        assert "macros" in str(refused) or "there is no `size`" in str(refused)  # noqa: PT017
        return
    found = set(expression._program.variables())
    assert expression.names <= found
    assert all(f".exists({name}," in source for name in found - expression.names)
    whole = dict.fromkeys(expression.names, 1)
    try:
        expression.evaluate(whole)
    except ExpressionError as failed:
        assert "there is no `" not in str(failed)  # noqa: PT017 - what it names is there


LIGHT = """
import sys
from gatewright.pipeline.expressions import compile_expression
assert "cel.cel" not in sys.modules, "loaded before there is an expression"
compile_expression("a", ["a"])
loaded = {"cel", "cel.cli", "prompt_toolkit", "pygments"} & set(sys.modules)
assert not loaded, loaded
import cel
assert cel.evaluate("1 + 1") == 2, "the package can still be imported by others"
assert compile_expression("a + 1", ["a"]).evaluate({"a": 1}) == 2
"""


def test_the_engine_is_loaded_when_needed_and_without_its_command_line() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
