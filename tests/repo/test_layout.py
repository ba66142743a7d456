"""Names, sizes, and the mirror between sources and unit tests."""

import ast
from collections.abc import Iterator
from pathlib import Path

BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base", "v2"}
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 60

WITHOUT_TWIN: dict[str, str] = {}
"""Modules with code but without a unit test of their own, each with the reason."""


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def has_code(path: Path) -> bool:
    """Whether a module does something: a function with more in it than a docstring, `...` or `pass`."""
    return any(
        not all(
            isinstance(line, ast.Pass) or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            for line in f.body
        )
        for f in functions(path)
    )


def test_every_module_with_code_has_its_twin(root: Path, sources: list[Path]) -> None:
    missing = [
        str(module)
        for module in sources
        if module.name != "__init__.py"
        and str(module) not in WITHOUT_TWIN
        and has_code(root / "src/gatewright" / module)
        and not (root / "tests/unit" / module.parent / f"test_{module.name}").is_file()
    ]
    assert not missing, "no unit test:\n" + "\n".join(missing)


def test_every_unit_test_has_a_module(root: Path, tracked: list[Path]) -> None:
    stray = [
        str(test)
        for test in tracked
        if test.is_relative_to("tests/unit")
        and test.name.startswith("test_")
        and not (
            root / "src/gatewright" / test.relative_to("tests/unit").parent / test.name.removeprefix("test_")
        ).is_file()
    ]
    assert not stray, "no such module:\n" + "\n".join(stray)


def test_the_exceptions_are_still_needed(root: Path) -> None:
    for module, reason in WITHOUT_TWIN.items():
        assert reason
        assert (root / "src/gatewright" / module).is_file(), f"{module} is gone"
        assert not (root / "tests/unit" / Path(module).parent / f"test_{Path(module).name}").is_file(), (
            f"{module} has one"
        )


def test_no_file_is_named_after_nothing(tracked: list[Path]) -> None:
    assert [
        str(path) for path in tracked if {path.stem.lower(), *map(str.lower, path.parent.parts)} & BANNED_NAMES
    ] == []


def test_files_and_functions_keep_their_budget(root: Path, tracked: list[Path]) -> None:
    over = []
    for path in tracked:
        if path.suffix == ".py":
            lines = (root / path).read_text().count("\n")
            over += [f"{path}: {lines} lines"] if lines > MAX_FILE_LINES else []
            over += [
                f"{path}:{f.lineno}: {f.name} has {f.end_lineno - f.lineno + 1} lines"
                for f in functions(root / path)
                if f.end_lineno is not None and f.end_lineno - f.lineno >= MAX_FUNCTION_LINES
            ]
    assert not over, "over budget:\n" + "\n".join(over)


def test_every_module_says_what_it_is_for(root: Path, sources: list[Path]) -> None:
    silent = [
        str(path) for path in sources if not ast.get_docstring(ast.parse((root / "src/gatewright" / path).read_text()))
    ]
    assert silent == []
