"""An admin API on an empty database, with a key of each role."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.control.admin_api import AdminApi


@pytest.fixture(scope="session")
def only_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdminApi]:
    with AdminApi.on_sqlite(tmp_path_factory.mktemp("admin")) as api:
        yield api


@pytest.fixture
def api(only_api: AdminApi) -> AdminApi:
    only_api.begin_anew()
    return only_api
