"""The docstring below each field of a document, read from the source: the reference and the schema are made of them."""

from __future__ import annotations

import ast
import inspect
from functools import lru_cache
from sys import modules

from msgspec import Struct


def field_docs(type_: type[Struct]) -> dict[str, str]:
    """Field name to its docstring as one paragraph, inherited fields first. A field without one is absent.

    Empty where the source is not at hand.
    """
    docs: dict[str, str] = {}
    for cls in reversed(type_.__mro__):
        if issubclass(cls, Struct) and cls is not Struct:
            docs.update(_module_docs(cls.__module__).get(cls.__qualname__, {}))
    return docs


def summary(type_: type) -> str:
    """The class's docstring as one paragraph; empty when it has none of its own."""
    return _paragraph(type_.__dict__.get("__doc__") or "")


@lru_cache(maxsize=64)
def _module_docs(name: str) -> dict[str, dict[str, str]]:
    """Class (by its qualified name) to field to docstring, for a whole module."""
    module = modules.get(name)
    try:
        tree = ast.parse(inspect.getsource(module)) if module else ast.Module([], [])
    except (OSError, TypeError, SyntaxError):
        return {}
    found: dict[str, dict[str, str]] = {}
    _collect(tree, "", found)
    return found


def _collect(node: ast.AST, prefix: str, found: dict[str, dict[str, str]]) -> None:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            found[prefix + child.name] = _class_docs(child)
            _collect(child, f"{prefix}{child.name}.", found)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            _collect(child, f"{prefix}{child.name}.<locals>.", found)


def _class_docs(node: ast.ClassDef) -> dict[str, str]:
    docs = {}
    for field, after in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            docs[field.target.id] = _paragraph(after.value.value)
    return docs


def _paragraph(text: str) -> str:
    return " ".join(text.split())
