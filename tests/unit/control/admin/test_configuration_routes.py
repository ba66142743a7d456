"""`/configuration`: read by all, changed by the role admin, by whoever has seen the version before."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.control.admin_api import GOOD, AdminApi

from gatewright.control.admin_keys import Role

OTHER = GOOD + "timeouts: {drain_s: 5}\n"


def test_a_configuration_is_applied_with_the_etag_that_was_read(api: AdminApi) -> None:
    read = api.send("GET", "/configuration", role=Role.VIEWER)
    assert (read.headers["etag"], read.json()["source"]) == ('"0"', "api")
    status, made = api.ask("POST", "/configuration/versions", {"document": GOOD}, if_match='"0"')
    assert (status, made["version"], made["is_active"]) == (201, 1, True)
    assert api.applied == [GOOD.encode()]
    read = api.send("GET", "/configuration")
    assert (read.headers["etag"], read.json()["document"]) == ('"1"', GOOD)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"document": OTHER}, {}, 428),
        ({"document": OTHER, "expected_version": 0}, {}, 412),
        ({"document": OTHER}, {"if_match": '"0"'}, 412),
        ({"document": OTHER}, {"if_match": "*"}, 422),
        ({"document": OTHER}, {"if_match": 'W/"1"'}, 422),
        ({"document": OTHER, "expected_version": 1}, {"if_match": '"2"'}, 422),
        ({"document": "models: 3", "expected_version": 1}, {}, 422),
        ({"document": OTHER, "expected_version": 1, "note": "a\nb"}, {}, 400),
        ({"document": 3, "expected_version": 1}, {}, 400),
        ({"document": OTHER, "expected_version": 1}, {}, 201),
        ({"document": OTHER}, {"if_match": '"1"'}, 201),
        ({"document": OTHER, "expected_version": 1}, {"if_match": '"1"'}, 201),
    ],
)
def test_only_who_has_seen_the_active_version_changes_it(
    api: AdminApi, body: object, headers: dict[str, str], status: int
) -> None:
    api.ask("POST", "/configuration/versions", {"document": GOOD, "expected_version": 0})
    assert api.ask("POST", "/configuration/versions", body, **headers)[0] == status
    assert len(api.applied) == (2 if status == 201 else 1)


def test_a_candidate_is_checked_with_every_error_by_line(api: AdminApi) -> None:
    wrong = "listen: 5\nmodels: {m: {targets: [{provider: nobody}]}}\n"
    status, found = api.ask("POST", "/configuration/validate", {"document": wrong})
    assert (status, found["ok"]) == (200, False)
    assert {reason["line"] for reason in found["errors"]} == {1, 2}
    assert api.ask("POST", "/configuration/validate", {"document": GOOD})[1]["ok"] is True
    assert api.applied == []


def test_errors_of_an_applied_document_name_path_and_line(api: AdminApi) -> None:
    body = {"document": "nonsense: 1\n", "expected_version": 0}
    status, problem = api.ask("POST", "/configuration/versions", body)
    assert status == 422
    assert problem["errors"][0]["path"] == "nonsense"
    assert problem["errors"][0]["line"] == 1


def test_a_plain_secret_is_neither_stored_nor_repeated(api: AdminApi) -> None:
    document = GOOD.replace('"${env:KEY}"', "hunter2")
    status, problem = api.ask("POST", "/configuration/versions", {"document": document, "expected_version": 0})
    assert status == 422
    assert "hunter2" not in str(problem)
    assert "reference" in str(problem) or "${env" in str(problem)
    assert api.ask("GET", "/configuration")[1]["document"] == ""


def test_versions_are_listed_compared_and_taken_back(api: AdminApi) -> None:
    for version, document in enumerate((GOOD, OTHER)):
        api.ask("POST", "/configuration/versions", {"document": document, "expected_version": version})
    page = api.ask("GET", "/configuration/versions?limit=1")[1]
    rest = api.ask("GET", f"/configuration/versions?cursor={page['next_cursor']}")[1]
    assert [version["version"] for version in (*page["items"], *rest["items"])] == [2, 1]
    assert api.ask("GET", "/configuration/versions/1")[1]["document"] == GOOD
    assert api.ask("GET", "/configuration/versions/7")[0] == 404
    assert "+timeouts" in api.ask("GET", "/configuration/diff?old=1&new=2")[1]["diff"]
    assert api.ask("GET", "/configuration/diff?old=1")[0] == 400
    status, made = api.ask("POST", "/configuration/rollback", {"version": 1}, if_match='"2"')
    assert (status, made["version"], api.applied[-1]) == (201, 3, GOOD.encode())


def test_what_the_workers_refuse_is_told(api: AdminApi) -> None:
    api.refusal = ["worker-1: no"]
    status, problem = api.ask("POST", "/configuration/versions", {"document": GOOD, "expected_version": 0})
    assert (status, problem["errors"]) == (422, [{"message": "worker-1: no"}])
    assert api.ask("GET", "/configuration")[1]["version"] == 0


def test_other_roles_read_but_neither_check_nor_change(api: AdminApi) -> None:
    for role in (Role.VIEWER, Role.OPERATOR):
        assert api.ask("GET", "/configuration", role=role)[0] == 200
        for path in ("/configuration/validate", "/configuration/versions", "/configuration/rollback"):
            assert api.ask("POST", path, {"document": GOOD, "version": 1, "expected_version": 0}, role=role)[0] == 403


def test_files_are_read_here_and_changed_where_they_are(tmp_path: Path) -> None:
    files = [("g.yaml", GOOD.encode())]
    with AdminApi.on_sqlite(tmp_path, read_files=lambda: files) as api:
        assert api.ask("GET", "/configuration")[1]["source"] == "files"
        status, problem = api.ask("POST", "/configuration/versions", {"document": GOOD, "expected_version": 0})
        assert (status, "files" in problem["detail"]) == (409, True)
        assert api.ask("POST", "/configuration/rollback", {"version": 1, "expected_version": 0})[0] == 409
        assert api.applied == []
