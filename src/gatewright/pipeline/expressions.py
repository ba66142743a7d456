"""CEL expressions, for everything in the configuration that is decided or named by one: compiled once, evaluated often.

The language is the Common Expression Language (github.com/google/cel-spec, `doc/langdef.md`), by the `cel` crate. What
that does not tell is read from the text's tokens: which facts an expression reads and which members of them (so that no
others are built), and whether a name is one of a macro's own.

An expression always ends, but CEL alone does not say how soon. So its text is limited, and the patterns of `matches`
are written out: those run in linear time, yet compiling one can be slow, and no client may choose it. Macros stand in
one another once at most, and what they go through is limited, since a caller may bring it: the engine copies a list at
each reading, and `map` and `filter` copy their result with each element, so that a header of commas could cost minutes.
The engine refuses deep nesting of the text by itself. It does not look at how deeply values are nested, and some
thousand levels of lists are fine; what JSON decoders let pass is less.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from importlib import machinery, util
from sys import modules
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import Struct

from gatewright.config.wording import listing, suggestion

if TYPE_CHECKING:
    from cel import Program

MAX_SOURCE: Final = 4_096
"""Characters of an expression."""
_MAX_LOOPS: Final = 2
"""Macros within one another: each multiplies the time by the length of a list."""
_MAX_VALUES: Final = (500, 500, 200)
"""How many values a list, or an object, may have that macros can go through, by how many stand in one another: each
case takes 50 ms at worst. `split` gives no more, either."""
_MAX_DEPTH: Final = 3
"""How far into the facts it is told what is read (`request.headers["x-team"]`)."""

_QUOTED: Final = "|".join(
    (
        r"[bB]?[rR](?:\"{3}.*?\"{3}|'{3}.*?'{3}|\"[^\"\n]*\"|'[^'\n]*')",
        r"[bB]?(?:\"{3}(?:\\.|.)*?\"{3}|'{3}(?:\\.|.)*?'{3}|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')",
    )
)
"""Strings and bytes; behind an `r` a backslash is one."""
_TOKEN: Final = re.compile(
    rf"(?P<blank>\s+|//[^\n]*)|(?P<text>{_QUOTED})|(?P<word>[A-Za-z_]\w*)|(?P<number>\d\w*)|(?P<sign>.)",
    re.DOTALL | re.ASCII,
)
_PLAIN: Final = re.compile(r"""(["'])([^"'\\\n]*)\1""")
_MACROS: Final = frozenset(("all", "exists", "exists_one", "existsOne", "filter", "map"))
_COPYING: Final = frozenset(("filter", "map"))
_CONSTANTS: Final = frozenset(
    ("true", "false", "null", "in", "bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type")
) | {"uint"}
"""Words that name no fact: constants, the operator, and the types that `type(x)` gives."""
_ENDS_VALUE: Final = frozenset((")", "]", "}"))
_NAMED: Final = re.compile(r"[A-Za-z]\w*")
_NATIVE: Final = frozenset(
    """bytes contains double duration dyn endsWith getDate getDayOfMonth getDayOfWeek getDayOfYear getFullYear getHours
    getMilliseconds getMinutes getMonth getSeconds int matches size startsWith string timestamp type uint""".split()
)
_FAILURES: Final = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
_LONGEST: Final = 300
_UNDEFINED: Final = "Undefined variable or function: "
_PLACE: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?(.*)")


_UNFIT: Final = object()
"""What a function gives for operands it does not take. The engine fails on it without a word; on an exception it would
write to the log as well, for each request."""


def _on_text(change: Callable[..., Any], count: int) -> Callable[..., Any]:
    """A function of `count` texts."""

    def call(*operands: Any) -> Any:
        fits = len(operands) == count and all(isinstance(operand, str) for operand in operands)
        return change(*operands) if fits else _UNFIT

    return call


def _added(most: int) -> dict[str, Callable[..., Any]]:
    """Of CEL's own extension for strings (cel-go's `ext.Strings`), what claims need; all cost time linear in the text.

    `split` takes no text of more than `most` parts.
    """

    def split(text: str, separator: str) -> Any:
        count = text.count(separator) + 1 if separator else len(text)
        if count > most:
            return _UNFIT
        return text.split(separator) if separator else list(text)

    return {
        "lowerAscii": _on_text(lambda text: text.encode().lower().decode(), 1),
        "upperAscii": _on_text(lambda text: text.encode().upper().decode(), 1),
        "trim": _on_text(lambda text: text.strip(), 1),
        "split": _on_text(split, 2),
    }


_ADDED: Final = tuple(_added(most) for most in _MAX_VALUES)
"""By how many macros stand in one another."""
FUNCTIONS: Final = tuple(sorted(_NATIVE | _ADDED[0].keys()))
"""What an expression may call, besides the macros and `has`."""

Names = Collection[str] | Mapping[str, Collection[str] | None]
"""The facts an expression may read; with a mapping also the members of each, None for any."""
Path = tuple[str, ...]


class ExpressionError(ValueError):
    """An expression cannot be evaluated for these facts: a member is missing, or of another type."""


class Expression:
    """A compiled expression."""

    __slots__ = ("_functions", "_loops", "_program", "names", "reads", "source")

    def __init__(self, source: str, program: Program, reads: frozenset[Path], loops: int, functions: bool) -> None:
        self.source = source
        self.reads = reads
        """What it reads of the facts, as far as its text tells: `("request", "headers", "x-team")`. A shorter path
        means all that is below it."""
        self.names = frozenset(path[0] for path in reads)
        """The top-level facts it reads."""
        self._program = program
        self._loops = loops
        self._functions = functions

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    def evaluate(self, facts: dict[str, Any]) -> Any:
        """The value: None, bool, int, float, str, bytes, list, dict, or what dates are. Raises ExpressionError.

        Costs a few microseconds and about one more for every three values in `facts`, read or not.
        """
        if self._loops and _has_more(facts, _MAX_VALUES[self._loops]):
            raise ExpressionError(f"a list has more values than macros go through here ({_MAX_VALUES[self._loops]})")
        try:
            # Functions of Python's need a context of their own, which costs more than most expressions.
            if self._functions:
                return self._program.execute(_engine().Context(facts, _ADDED[self._loops]))
            return self._program.execute(facts)
        except _FAILURES as error:
            raise ExpressionError(_reason(error)) from error


def compile_expression(source: str, names: Names) -> Expression:
    """Compile `source`, which may read the facts called `names`.

    Raises ValueError saying what is wrong, where, and what there is instead.
    """
    if len(source) > MAX_SOURCE:
        raise ValueError(f"the expression has {len(source)} characters; at most {MAX_SOURCE} are allowed")
    if not source.strip():
        raise ValueError("the expression is empty")
    try:
        program = _engine().compile(source)
    except _FAILURES as error:
        raise ValueError(_syntax(error)) from None
    tokens = _tokens(source)
    reads, loops = _read(tokens)
    _check_names(reads, names)
    called = {name for name in program.functions() if _NAMED.fullmatch(name)}
    for name in sorted(called - set(FUNCTIONS)):
        raise ValueError(f"there is no function `{name}`{_instead(name, FUNCTIONS)}")
    _check_patterns(tokens)
    return Expression(source, program, reads, loops, not called.isdisjoint(_ADDED[0]))


@cache
def _engine() -> Any:
    """The engine's extension module, loaded when the first expression is compiled.

    `import cel` would also import the package's command line with its terminal libraries: 25 MB and 200 ms, where the
    extension takes 4 MB and 5 ms. It is entered under its own name, as it can be loaded but once per process.
    """
    name = "cel.cel"
    if name in modules:
        return modules[name]
    package = util.find_spec("cel")
    spec = None if package is None else machinery.PathFinder.find_spec(name, package.submodule_search_locations)
    if spec is None or spec.loader is None:
        raise ImportError("the package common-expression-language is not installed completely")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    modules[name] = module
    return module


# -- what the text says -----------------------------------------------------------------------------------------------


class _Token(Struct, frozen=True):
    kind: str
    text: str
    place: int


def _tokens(source: str) -> list[_Token]:
    """The tokens of a text that the engine has parsed, without blanks and comments."""
    return [
        _Token(cast(str, found.lastgroup), found.group(), found.start())
        for found in _TOKEN.finditer(source)
        if found.lastgroup != "blank"
    ]


def _at(tokens: list[_Token], index: int) -> str:
    """A token's text; nothing of strings, which never are what is looked for."""
    if not 0 <= index < len(tokens) or tokens[index].kind == "text":
        return ""
    return tokens[index].text


def _read(tokens: list[_Token]) -> tuple[frozenset[Path], int]:
    """Every reading of a name that no macro binds, with the members read from it; and how many macros stand in one
    another at most. Raises ValueError on loops that take too long.
    """
    paths: set[Path] = set()
    depth = loops = 0
    bound: list[tuple[str, int]] = []
    for index, token in enumerate(tokens):
        if token.kind == "sign":
            if token.text in "([{":
                depth += 1
            elif token.text in _ENDS_VALUE:
                depth -= 1
                while bound and bound[-1][1] > depth:
                    bound.pop()
        if token.kind != "word":
            continue
        if _is_binding(tokens, index):
            bound.append((token.text, depth))
            loops = max(loops, len(bound))
            _check_loop(tokens, index, len(bound))
        elif _is_name(tokens, index) and all(token.text != name for name, _ in bound):
            paths.add(_path(tokens, index))
    return frozenset(paths), loops


def _check_loop(tokens: list[_Token], index: int, loops: int) -> None:
    place, macro = f"at character {tokens[index].place + 1}", _at(tokens, index - 2)
    if loops > _MAX_LOOPS:
        raise ValueError(f"{place}: at most {_MAX_LOOPS} macros (`exists`, `all`, …) may stand in one another")
    if loops > 1 and macro in _COPYING:
        raise ValueError(f"{place}: `{macro}` may not stand in another macro; use `exists` or `all`")


def _is_binding(tokens: list[_Token], index: int) -> bool:
    """Whether the word is a macro's own name for the element: `x` in `list.exists(x, x > 1)`."""
    return (
        _at(tokens, index - 1) == "("
        and _at(tokens, index + 1) == ","
        and _at(tokens, index - 2) in _MACROS
        and _at(tokens, index - 3) == "."
    )


def _is_name(tokens: list[_Token], index: int) -> bool:
    word = tokens[index].text
    if word in _CONSTANTS or _at(tokens, index + 1) == "(":
        return False
    if _at(tokens, index - 1) != ".":
        return True
    before = tokens[index - 2] if index >= 2 else None
    return before is None or (before.kind == "sign" and before.text not in _ENDS_VALUE)


def _path(tokens: list[_Token], index: int) -> Path:
    # A dot behind no value looks the name up outside of all scopes, which the engine does not do.
    path = [("." if _at(tokens, index - 1) == "." else "") + tokens[index].text]
    index += 1
    while len(path) < _MAX_DEPTH:
        if _at(tokens, index) == "." and _at(tokens, index + 2) != "(":
            path.append(_at(tokens, index + 1))
            index += 2
            continue
        member = _PLAIN.fullmatch(tokens[index + 1].text) if _at(tokens, index) == "[" else None
        if member is None or _at(tokens, index + 2) != "]":
            break
        path.append(member[2])
        index += 3
    return tuple(path)


# -- what is refused --------------------------------------------------------------------------------------------------


def _check_names(reads: Iterable[Path], names: Names) -> None:
    for path in sorted(reads):
        name = path[0]
        if name not in names:
            raise ValueError(f"there is no `{name}`{_instead(name, names)}")
        members = names[name] if isinstance(names, Mapping) else None
        if members is not None and len(path) > 1 and path[1] not in members:
            raise ValueError(f"`{name}` has no member `{path[1]}`{_instead(path[1], members)}")


def _check_patterns(tokens: list[_Token]) -> None:
    for index, token in enumerate(tokens):
        if token.text != "matches" or token.kind != "word" or _at(tokens, index + 1) != "(":
            continue
        if index + 3 >= len(tokens) or tokens[index + 2].kind != "text" or _at(tokens, index + 3) != ")":
            raise ValueError(
                f"at character {token.place + 1}: write the pattern of matches() out, as text in quotes; one that "
                "comes with a request could cost any time"
            )
        try:
            _engine().compile(f'"".matches({tokens[index + 2].text})').execute({})
        except _FAILURES as error:
            raise ValueError(f"at character {token.place + 1}: {_reason(error)}") from None


def _instead(wrong: str, names: Collection[str]) -> str:
    near = suggestion(wrong, list(names))
    known = f"there is {listing(sorted(names))}" if names else "there is none"
    return f"; did you mean `{near}`?" if near else f"; {known}"


def _syntax(error: BaseException) -> str:
    """The engine's message on a text it cannot parse, on one line and without its lists of tokens."""
    found = _PLACE.search(str(error))
    if found is None:
        return f"the expression cannot be read: {_cut(str(error))}"
    line, column, message = found.groups()
    message = message.partition(" expecting {")[0].replace("'<EOF>'", "end of the expression")
    place = f"character {column}" if line == "1" else f"line {line}, character {column}"
    return f"at {place}: {_cut(message)}"


def _reason(error: BaseException) -> str:
    match error:
        case KeyError():
            return f"there is no member `{error.args[0] if error.args else '?'}`"
        case TypeError() if str(error).startswith("No such overload"):
            return "an operation does not fit its operands, one of which may be null"
        case RuntimeError() if "Failed to convert Python result" in str(error):
            return "a function does not fit its operands, or `split` finds too many parts"
        case RuntimeError() if "not a valid regex" in str(error):
            return "the pattern of matches() is not a regular expression, or is too large"
    message = " ".join(str(error).split()).partition(". Check ")[0]
    if message.startswith(_UNDEFINED):
        name = message.removeprefix(_UNDEFINED).strip("'")
        # So the engine also calls a function that it has, but for other operands.
        return f"`{name}` does not fit its operands" if name in FUNCTIONS else f"there is no `{name}`"
    return _cut(message)


def _has_more(facts: Any, most: int) -> bool:
    """Whether a list or an object in the facts has more values than `most`."""
    found = [facts]
    while found:
        value = found.pop()
        if len(value) > most:
            return True
        found += [inner for inner in (value.values() if isinstance(value, dict) else value) if type(inner) in _MANY]
    return False


_MANY: Final = frozenset((dict, list))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
