"""What is compiled follows the rules that mypyc sets."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MODULES: tuple[str, ...] = _load().MODULES


def _tree(module: str) -> ast.Module:
    return ast.parse((ROOT / "src/gatewright" / module.replace(".", "/")).with_suffix(".py").read_text())


@pytest.mark.parametrize("module", MODULES)
def test_compiled_classes_have_no_options(module: str) -> None:
    """mypyc drops the keywords of a class statement, such as `frozen=True` of a Struct."""
    options = [node.name for node in ast.walk(_tree(module)) if isinstance(node, ast.ClassDef) and node.keywords]
    assert options == []


@pytest.mark.parametrize("module", MODULES)
def test_what_is_decoded_is_not_compiled(module: str) -> None:
    """mypyc changes the annotations that msgspec decodes by."""
    bases = [
        ast.unparse(base) for node in ast.walk(_tree(module)) if isinstance(node, ast.ClassDef) for base in node.bases
    ]
    assert not {"Struct", "msgspec.Struct"} & set(bases)


def test_the_list_is_sorted_and_each_is_there() -> None:
    assert list(MODULES) == sorted(set(MODULES))


def test_nothing_inherits_from_what_is_compiled_but_what_is_compiled_too() -> None:
    """A class of machine code refuses to be the base of one that is interpreted, and does so when it is first made."""
    compiled = {f"gatewright.{module}" for module in MODULES}
    heirs = []
    for file in sorted((ROOT / "src/gatewright").rglob("*.py")):
        module = ".".join(file.relative_to(ROOT / "src").with_suffix("").parts)
        if module in compiled:
            continue
        tree = ast.parse(file.read_text())
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module in compiled
            for alias in node.names
        }
        heirs += [
            f"{module}.{node.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef) and imported & {ast.unparse(base) for base in node.bases}
        ]
    assert heirs == []
