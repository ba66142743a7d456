"""Schemathesis asks the whole admin API what its OpenAPI document offers, and much that it does not.

It finds statuses that are not declared, answers of another shape than declared, failures of the gateway (5xx), wrong
input that is accepted, right input that is refused, and operations that take any key.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from schemathesis.engine import events, from_schema
from tests.control.admin_api import AdminApi

from gatewright.control.admin_keys import Role

pytestmark = [pytest.mark.sockets, pytest.mark.timeout(300)]

EXAMPLES = 8
MEANT = ["2xx", "401", "403", "404", "409", "412", "422", "428"]
"""What may be the answer to a request that the document allows; 400 is for what it rules out."""


@pytest.fixture
def api(tmp_path: Path) -> Iterator[AdminApi]:
    # Every look at the clock is minutes later, so that the wrong keys that are tried are never too many.
    minutes = itertools.count(0, 100.0)
    with AdminApi.on_sqlite(tmp_path, monotonic=lambda: next(minutes)) as api:
        yield api


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.filterwarnings("ignore")  # of the way in which Schemathesis calls the application
@pytest.mark.parametrize("role", Role)
def test_the_api_does_what_its_document_says(api: AdminApi, role: Role) -> None:
    schema = schemathesis.openapi.from_asgi("/admin/openapi.json", api.app, headers={"host": "127.0.0.1"})
    config = schema.config
    config.headers = {"host": "127.0.0.1", "Authorization": f"Bearer {api.keys[role]}"}
    config.generation.max_examples = EXAMPLES
    config.generation.deterministic = True
    config.generation.no_shrink = True
    config.continue_on_failure = True
    config.checks.positive_data_acceptance.expected_statuses = MEANT
    failures: dict[tuple[str, str], str] = {}
    statuses: Counter[int] = Counter()
    for event in from_schema(schema).execute():
        assert not isinstance(event, events.FatalError | events.NonFatalError), event
        if isinstance(event, events.ScenarioFinished):
            recorder = event.recorder
            statuses.update(i.response.status_code for i in recorder.interactions.values() if i.response is not None)
            for case_id, checks in recorder.checks.items():
                for check in checks:
                    if check.failure_info is not None:
                        failure = check.failure_info.failure
                        failures[failure.title, failure.operation] = (
                            f"{failure.message}\n{recorder.cases[case_id].value}"
                        )
    assert not failures, "\n\n".join(f"{title}: {operation}\n{text}" for (title, operation), text in failures.items())
    assert api.log.getvalue() == "", "nothing failed that only the log tells"
    assert sum(statuses.values()) > 1_000
    assert statuses[200] > 20
    assert (statuses[201] > 0) is (role is not Role.VIEWER)
