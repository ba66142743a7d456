"""The pages about the admin API are what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_admin_api", ROOT / "docs/admin_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_openapi_file_is_current(pages: ModuleType) -> None:
    assert (ROOT / "docs/reference/admin-api.json").read_text() == pages.document_text()


def test_the_page_is_current(pages: ModuleType) -> None:
    _, _, written = (ROOT / "docs/reference/admin-api.md").read_text().partition("\n\n")
    assert written == pages.page().rstrip() + "\n"


def test_every_operation_that_the_guide_shows_is_there(pages: ModuleType) -> None:
    paths = {path.removeprefix("/admin/v1") for _, path, _ in pages.operations(pages.openapi_document())}
    guide = (ROOT / "docs/how-to/admin-api.md").read_text()
    shown = {word.split("?")[0].strip('"') for word in guide.replace("$ADMIN", " @").split() if word.startswith("@/")}
    assert {path[1:] for path in shown} <= paths
    assert len(shown) > 5
