"""The benchmark's own logic: what it sends, reads, judges and draws. Nothing here measures anything."""

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from bench import command, contenders, holds, peers, plan, plots, processes, results, tables, traffic, translation, wrk
from bench.upstream import Upstreams

from gatewright.config.load import load
from gatewright.dialects import DIALECTS
from gatewright.filters import FILTERS

VALUES: dict[str, dict[str, float]] = {
    "direct": {"rps_1kb": 60_000},
    "nginx": {"rps_1kb": 40_000, "cpu_1kb": 0.02, "chunk_cpu": 16.0, "idle_worker_rss": 7.0},
    "gatewright-full": {
        "rps_1kb": 18_000,
        "cpu_1kb": 0.045,
        "chunk_cpu": 25.0,
        "added_p50": 0.1,
        "added_p99": 0.9,
        "idle_worker_rss": 48.0,
        "stream_kb_10000": 14.0,
        "soak_growth": 0.4,
        "start_s": 0.7,
    },
    "sglang-router": {"rps_1kb": 6_000, "cpu_1kb": 0.15},
    "litellm": {"rps_1kb": 35},
}


def detail(figure: str) -> dict[str, object]:
    if figure == "soak_growth":
        return {"requests": 1_000_000, "samples": [[0, 40.0], [500_000, 47.0], [1_000_000, 47.4]]}
    if figure == "stream_kb_10000":
        return {"opened": 9_850, "wanted": 10_000}
    return {"gateway_core_busy": 1.0, "load_core_busy": 0.8, "foreign": 0.0}


@pytest.fixture
def run() -> results.Run:
    recorder = results.Recorder()
    for gateway, figures in VALUES.items():
        for figure, value in figures.items():
            for factor in (0.9, 1.0, 1.2):
                recorder.add(gateway, figure, value * factor, command="wrk", reproduce="bench", detail=detail(figure))
    known = {one.name: one for one in (contenders.DIRECT, *command.everyone())}
    participants = [results.Participant(name, known[name].title, known[name].role, "1.0") for name in VALUES]
    participants.append(results.Participant("portkey", "Portkey", "gateway", "", "it needs node"))
    machine = dict.fromkeys(("cpu", "cores", "virtual", "memory", "kernel", "system", "python", "open files"), "x")
    return holds.judged(
        results.Run(
            name="full",
            mode="full",
            started="2026-01-02T03:04:05+00:00",
            took_s=600.0,
            command="python -m bench",
            machine=machine,
            participants=participants,
            rows=recorder.rows(),
            holds=[],
            notes=["a note"],
        )
    )


@pytest.mark.parametrize("size_bytes", traffic.SIZES.values())
def test_bodies_have_their_size(size_bytes: int) -> None:
    body = traffic.chat_body(size_bytes, "assistant")
    assert len(body) == size_bytes
    assert json.loads(body)["model"] == "assistant"


def test_the_canned_answer_can_be_quoted_and_has_about_a_kilobyte() -> None:
    answer = traffic.canned_answer()
    assert not set("'$\\") & set(answer.replace("\\u", ""))
    assert 900 <= len(answer) <= 1_200
    assert json.loads(answer)["usage"]["total_tokens"] == 276


def test_raw_requests_are_whole() -> None:
    request = traffic.raw_request(80, [("Authorization", "Bearer x")], b"{}")
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /v1/chat/completions HTTP/1.1"
    assert b"Content-Length: 2" in head
    assert body == b"{}"


def test_wrk_reports_are_read_from_their_last_line() -> None:
    line = (
        '{"requests":1000,"duration_us":2000000,"bytes":5,"status_errors":10,"socket_errors":0,"p50_us":1,"p99_us":2}'
    )
    report = wrk.parse(f"Running 2s test\nRequests/sec: 1\n{line}\n")
    assert report.rate == pytest.approx(495)
    with pytest.raises(processes.ProcessFailed, match="no report"):
        wrk.parse("connection refused")


def test_a_run_survives_its_file(run: results.Run, tmp_path: Path) -> None:
    path = results.save(run, tmp_path)
    assert path.name == "full.json"
    assert results.load(path) == run
    assert json.loads(path.read_bytes())["schema"] == results.SCHEMA


def test_the_runs_under_version_control_can_be_read() -> None:
    for path in results.FOLDER.glob("*.json"):
        assert results.load(path).rows, path


def test_medians_are_taken_over_rounds(run: results.Run) -> None:
    assert run.median("nginx", "rps_1kb") == 40_000
    assert run.median("nginx", "added_p50") is None
    with pytest.raises(KeyError):
        results.Recorder().add("nginx", "nonsense", 1.0, command="", reproduce="")


def test_promises_are_judged(run: results.Run) -> None:
    verdicts = {hold.promise: hold for hold in run.holds}
    assert verdicts["1 KB requests/s, everything on, of nginx as a bare proxy"].measured.startswith("0.45 ×")
    assert verdicts["1 KB requests/s, of the fastest Rust router"].measured == "3.0 × sglang-router"
    assert verdicts["CPU per streamed chunk, pass-through, of nginx"].held is False
    assert [hold.held for hold in run.holds].count(False) == 1
    without = holds.judge(msgspec.structs.replace(run, rows=[]))
    assert {hold.held for hold in without} == {None}


def test_the_table_says_what_was_measured_and_what_was_not(run: results.Run) -> None:
    text = tables.markdown(run)
    assert "| nginx, bare proxy | 40,000 |" in text
    assert "18,000" in text
    assert "Portkey was not measured: it needs node" in text
    assert "9,850 open" in text
    assert "MISSED" in text
    assert "- a note" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| ") and "req/s" in line}
    assert len(widths) == 1


def test_plots_are_well_formed_pictures(run: results.Run) -> None:
    drawn = plots.draw(run)
    assert set(drawn) == {"throughput", "latency", "chunks", "memory", "soak"}
    for text in drawn.values():
        root = ElementTree.fromstring(text)
        assert root.tag.endswith("svg")
        assert "prefers-color-scheme: dark" in text
    assert plots.draw(msgspec.structs.replace(run, rows=[])) == {}


def test_every_filter_takes_part() -> None:
    assert {str(policy["filter"]) for policy in contenders.POLICIES} == {one.name for one in FILTERS}


@pytest.mark.parametrize("full", [False, True])
def test_gatewright_accepts_its_configuration(full: bool) -> None:
    config = contenders.gatewright_config(Upstreams(1, 2), 3, 4, full=full, log=False)
    loaded = load([("gatewright.yaml", json.dumps(config).encode())], lambda scheme, name: "")
    assert loaded.errors == ()
    assert loaded.document is not None
    assert loaded.document.anonymous is not full


def test_every_pair_of_dialects_is_translated(monkeypatch: pytest.MonkeyPatch, run: results.Run) -> None:
    monkeypatch.setattr(translation, "CHUNKS", 1)
    monkeypatch.setattr(translation, "TRIES", 1)
    recorder = results.Recorder()
    translation.measure(recorder)
    measured = holds.judged(msgspec.structs.replace(run, rows=recorder.rows()))
    names = {one.name for one in DIALECTS if one.chat is not None} - {"openai.completions"}
    for title, (head, rows) in tables.grids(measured):
        assert title.startswith("Translating a ")
        assert set(head[1:]) == names == {row[0] for row in rows}
        assert all(sum(cell == "–" for cell in row) == 1 for row in rows)
    assert [hold.promise for hold in measured.holds if hold.held is not None] == [
        "translating a request of 100 KB, slowest pair of dialects"
    ]


def test_the_conversation_has_its_size() -> None:
    for dialect in DIALECTS:
        if dialect.chat is not None and dialect.name != "openai.completions":
            assert 90_000 < len(translation.client_body(dialect.chat)) < 110_000


def test_contenders_are_chosen_by_the_command_line() -> None:
    def names(*argv: str, with_peers: bool = False) -> list[str]:
        return [one.name for one in command.choose_contenders(command.parse_arguments(argv), with_peers)]

    own = [
        "nginx",
        "haproxy",
        "gatewright",
        "gatewright-full",
        "gatewright-log",
        "gatewright-two",
        "gatewright-translated",
    ]
    assert names() == own
    assert names(with_peers=True) == [*own, *(one.name for one in peers.PEERS)]
    assert names("--gateways", "litellm,nginx") == ["nginx", "litellm"]
    with pytest.raises(SystemExit, match="no such gateway: envoy"):
        names("--gateways", "envoy")


def test_the_plan_follows_the_command_line() -> None:
    def chosen(*argv: str) -> plan.Plan:
        a = command.parse_arguments(argv)
        return plan.choose(
            quick=a.quick,
            profile=a.profile,
            only=a.only,
            rounds=a.rounds,
            soak=a.soak,
            soak_requests=a.soak_requests,
        )

    assert chosen() == plan.FULL
    assert chosen("--quick", "--soak", "--soak-requests", "5000").kinds[-1] == "soak"
    assert chosen("--only", "stream", "--only", "start", "--rounds", "2").kinds == ("start", "stream")
    assert chosen("--profile").mode == "profile"


def test_cpu_time_and_memory_are_those_of_the_process() -> None:
    before = processes.cpu_seconds(os.getpid())
    sum(number * number for number in range(200_000))
    assert processes.cpu_seconds(os.getpid()) > before
    used = processes.memory([os.getpid()])
    assert 0 < used.pss_kb <= used.rss_kb
    assert os.getpid() in processes.tree(os.getpid())


def test_a_stretch_says_what_bounded_it() -> None:
    assert processes.Window(1.0, 0.9, 0.99, 0.99, 0.0, 0.0).bound == "gateway"
    assert processes.Window(1.0, 0.5, 0.6, 0.99, 0.0, 0.0).bound == "load"
    assert processes.Window(1.0, 0.5, 0.6, 0.6, 0.0, 0.0).bound == "neither"
