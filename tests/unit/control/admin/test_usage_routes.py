"""`/usage`: what `gatewright usage` tells, as JSON, for spreadsheets and as FOCUS."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from tests.control.admin_api import AdminApi

from gatewright.control.admin import usage_routes
from gatewright.control.admin_keys import Role
from gatewright.store.tables import USAGE_DAYS

DAY = 1_780_012_800 // 86_400 * 86_400


@pytest.fixture
def booked(api: AdminApi) -> AdminApi:
    with api.engine.begin() as connection:
        for consumer, cost in (("acme/a/b", 2_000_000_000), ("bolt/a/b", 500_000_000)):
            connection.execute(
                USAGE_DAYS.insert().values(
                    day=DAY,
                    consumer=consumer,
                    model="m",
                    provider="up",
                    upstream_model="gpt",
                    provider_type="openai",
                    exchanges=3,
                    failed=0,
                    attempts=3,
                    estimated=0,
                    unpriced=0,
                    input_total=10,
                    output_total=5,
                    cost_nano=cost,
                )
            )
    return api


def test_usage_is_told_apart_as_asked(booked: AdminApi) -> None:
    status, report = booked.ask("GET", "/usage?by=consumer&by=model", role=Role.VIEWER)
    assert status == 200
    assert [(row["of"]["consumer"], row["cost_usd"]) for row in report["rows"]] == [
        ("acme/a/b", "2"),
        ("bolt/a/b", "0.5"),
    ]
    assert report["total"]["cost_usd"] == "2.5"
    assert booked.ask("GET", "/usage?consumer=bolt/*")[1]["total"]["cost_usd"] == "0.5"
    assert booked.ask("GET", f"/usage?until={DAY}")[1]["rows"] == []
    assert booked.ask("GET", "/usage?by=consumer&limit=1")[1]["is_cut"] is True


def test_csv_has_the_same_rows(booked: AdminApi) -> None:
    answer = booked.send("GET", "/usage?by=consumer&format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    first, second = csv.DictReader(io.StringIO(answer.text))
    assert (first["consumer"], first["input_total"], first["cost_usd"]) == ("acme/a/b", "10", "2")
    assert second["exchanges"] == "3"


def test_focus_has_a_row_for_each_charge(booked: AdminApi) -> None:
    answer = booked.send("GET", "/usage?format=focus&consumer=acme/*")
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert row["BilledCost"] == "2"


def test_an_export_that_is_too_large_is_refused(booked: AdminApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_routes, "MAX_EXPORT_CHARACTERS", 10)
    assert booked.ask("GET", "/usage?format=focus")[0] == 422


@pytest.mark.parametrize(
    "query", ["by=nothing", "by=model&by=nothing", "since=-1", "format=xml", "order=size", "limit=0"]
)
def test_what_cannot_be_asked_is_refused(api: AdminApi, query: str) -> None:
    assert api.ask("GET", f"/usage?{query}")[0] == 400


def test_the_empty_report_and_the_last_day_are_no_failures(api: AdminApi, tmp_path: Path) -> None:
    assert api.ask("GET", "/usage?since=253402214400&until=253402214400")[0] == 200
    assert api.ask("GET", "/usage?by=hour&by=hour")[1]["rows"] == []
