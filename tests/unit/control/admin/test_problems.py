"""Every failure becomes a problem, and what is the gateway's own fault stays in its log."""

from __future__ import annotations

import io

import msgspec
import pytest
from litestar.exceptions import MethodNotAllowedException, NotFoundException, ValidationException
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gatewright.config.problems import ConfigError
from gatewright.control.admin.problems import TITLES, Problem, ProblemDetails, Reason, Reporter
from gatewright.control.refusals import Conflict, Forbidden, NotFound, Outdated, Unacceptable
from gatewright.telemetry.log import Log

LOCKED = OperationalError("SELECT secret", {"digest": "hidden"}, Exception("database is locked"))


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Problem("outdated", "x"), 412, "outdated"),
        (NotFound("x"), 404, "not-found"),
        (Conflict("x"), 409, "conflict"),
        (Outdated("x"), 412, "outdated"),
        (Forbidden("x"), 403, "forbidden"),
        (Unacceptable("x"), 422, "unacceptable"),
        (ValidationException("x"), 400, "malformed-request"),
        (NotFoundException(), 404, "not-found"),
        (MethodNotAllowedException(), 405, "method-not-allowed"),
        (RecursionError(), 400, "malformed-request"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates"), 400, "malformed-request"),
        (DataError("SELECT", {}, Exception("NUL")), 400, "malformed-request"),
        (LOCKED, 503, "unavailable"),
        (PoolTimeout(), 503, "unavailable"),
        (KeyError("hidden"), 500, "internal"),
        (ValueError("hidden"), 500, "internal"),
    ],
)
def test_each_exception_has_its_problem(error: Exception, status: int, kind: str) -> None:
    problem = Reporter(Log("control", stream=io.StringIO())).problem_of(error, "GET", "/admin/v1/x")
    details = msgspec.json.decode(problem.body(), type=ProblemDetails)
    assert (problem.status, details.status, details.type) == (status, status, f"urn:gatewright:problem:{kind}")
    assert details.title == TITLES[kind][1]
    assert "hidden" not in problem.body().decode()
    assert "SELECT" not in problem.body().decode()


def test_a_database_that_is_away_says_when_to_come_back() -> None:
    log = io.StringIO()
    problem = Reporter(Log("control", stream=log, as_json=True)).problem_of(LOCKED, "GET", "/x")
    assert problem.headers == {"retry-after": "2"}
    assert "database is locked" in log.getvalue()
    assert "hidden" not in log.getvalue()


def test_a_defect_is_logged_with_its_place() -> None:
    log = io.StringIO()
    Reporter(Log("control", stream=log, as_json=True)).problem_of(KeyError("x"), "PUT", "/admin/v1/x")
    event = msgspec.json.decode(log.getvalue())
    assert (event["level"], event["error"], event["method"], event["path"]) == (
        "error",
        "KeyError",
        "PUT",
        "/admin/v1/x",
    )


def test_every_reason_is_told_with_its_place() -> None:
    errors = [ConfigError("models.m", "is wrong", "document", 7), ConfigError("", "is empty")]
    problem = Reporter(Log("control", stream=io.StringIO())).problem_of(Unacceptable("bad", errors), "PUT", "/x")
    assert problem.details().errors == [Reason("is wrong", "models.m", 7), Reason("is empty")]


def test_members_that_say_nothing_are_left_out() -> None:
    assert msgspec.json.decode(Problem("conflict", "x").body()).keys() == {"type", "title", "status", "detail"}
