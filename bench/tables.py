"""A run as tables: for the terminal, and as the Markdown that the documentation shows."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.results import FIGURES, Run
from bench.translation import IN_PROCESS

Grid = tuple[list[str], list[list[str]]]
RATE_COLUMNS = (
    ("rps_1kb", "1 KB req/s"),
    ("rps_100kb", "100 KB req/s"),
    ("rps_1mb", "1 MB req/s"),
)
COST_COLUMNS = (
    ("added_p50", "added p50 ms"),
    ("added_p99", "added p99 ms"),
    ("chunk_cpu", "µs CPU / chunk"),
)
MEMORY_COLUMNS = (
    ("idle_worker_rss", "idle worker MB"),
    ("idle_all_pss", "idle, all MB"),
    ("stream_kb_1000", "KB / stream, 1,000"),
    ("stream_kb_10000", "KB / stream, 10,000"),
    ("start_s", "first answer s"),
)


def number(value: float | None, digits: int) -> str:
    """A number for people; a dash when there is none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def _cell(run: Run, gateway: str, figure: str) -> str:
    return number(run.median(gateway, figure), FIGURES[figure].digits)


def _bound(run: Run, gateway: str) -> str:
    """Which core was full at 1 KB, with how full both were."""
    details = run.details(gateway, "rps_1kb")
    if not details:
        return "–"
    last = details[len(details) // 2]
    gateway_busy = "–" if gateway == "direct" else f"{last['gateway_core_busy']:.0%}"
    return f"{gateway_busy} / {last['load_core_busy']:.0%}"


def throughput(run: Run) -> Grid:
    """Requests per second, and what they cost, beside nginx."""
    head = ["gateway", *(title for _, title in RATE_COLUMNS), "CPU ms / 1,000 (1 KB)", "× nginx", "× nginx per CPU-s"]
    head.append("cores busy")
    rows = []
    nginx_rate, nginx_cost = run.median("nginx", "rps_1kb"), run.median("nginx", "cpu_1kb")
    for one in run.participants:
        rate, cost = run.median(one.name, "rps_1kb"), run.median(one.name, "cpu_1kb")
        if rate is None:
            continue
        share = rate / nginx_rate if nginx_rate and one.name != "direct" else None
        per_cpu = nginx_cost / cost if nginx_cost and cost else None
        row = [one.title, *(_cell(run, one.name, figure) for figure, _ in RATE_COLUMNS)]
        row += [number(cost * 1000 if cost else None, 1), number(share, 3), number(per_cpu, 3), _bound(run, one.name)]
        rows.append(row)
    return head, rows


def _columns(run: Run, columns: Sequence[tuple[str, str]]) -> Grid:
    rows = []
    for one in run.participants:
        cells = [_cell(run, one.name, figure) for figure, _ in columns]
        if any(cell != "–" for cell in cells):
            rows.append([one.title, *cells])
    return ["gateway", *(title for _, title in columns)], rows


def _pairs(run: Run, figure: str) -> Grid:
    """What each client's dialect (rows) costs before each provider's (columns)."""
    rounds = [detail["pairs"] for detail in run.details(IN_PROCESS, figure)]
    names = list(rounds[0]) if rounds else []
    rows = []
    for client in names:
        costs = [[one[client].get(provider) for one in rounds] for provider in names]
        shown = [None if None in values else statistics.median(values) for values in costs]
        rows.append([client, *(number(value, FIGURES[figure].digits) for value in shown)])
    return ["client \\ provider", *names], rows


def grids(run: Run) -> list[tuple[str, Grid]]:
    """Every table with its title; empty ones are left out."""
    everything = [
        ("Throughput, one core for the gateway", throughput(run)),
        ("Latency added at half load, and streams", _columns(run, COST_COLUMNS)),
        ("Translating a streamed chunk, in process, µs", _pairs(run, "translated_chunk")),
        ("Translating a request of 100 KB, in process, ms", _pairs(run, "translated_request")),
        ("Memory and start", _columns(run, MEMORY_COLUMNS)),
    ]
    return [(title, _narrow(grid)) for title, grid in everything if grid[1]]


def _narrow(grid: Grid) -> Grid:
    """Without the columns in which there is nothing."""
    head, rows = grid
    kept = [index for index in range(len(head)) if any(row[index] != "–" for row in rows)]
    return [head[index] for index in kept], [[row[index] for index in kept] for row in rows]


def _verdict(held: bool | None) -> str:
    return "–" if held is None else "held" if held else "MISSED"


def _promises(run: Run) -> Grid:
    rows = [[hold.promise, hold.wanted, hold.measured, _verdict(hold.held)] for hold in run.holds]
    return ["promise", "hold", "measured", ""], rows


def _absences(run: Run) -> list[str]:
    return [f"{one.title} was not measured: {one.absent}" for one in run.participants if one.absent]


def _stream_note(run: Run) -> list[str]:
    """Says so when the machine let fewer than 10,000 streams be open."""
    opened = [int(detail["opened"]) for row in run.rows if row.figure == "stream_kb_10000" for detail in row.details]
    if opened and min(opened) < 10_000:
        return [
            f"The row of 10,000 streams had {max(opened):,} open where all could be opened: a proxy has two sockets a "
            f"stream and this machine lets a process open {run.machine['open files']} files."
        ]
    return []


def show(run: Run) -> None:
    """Print a run."""
    console = Console(width=None if Console().is_terminal else 170)
    for title, (head, rows) in grids(run):
        table = Table(title=title, title_justify="left")
        for index, column in enumerate(head):
            table.add_column(column, justify="left" if index == 0 else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    if run.mode != "profile":
        table = Table(title="Promises (gatewright-full)", title_justify="left")
        head, rows = _promises(run)
        for column in head:
            table.add_column(column)
        for row in rows:
            table.add_row(*row, style="red" if row[3] == "MISSED" else "")
        console.print(table)
    for line in (*_stream_note(run), *_absences(run), *run.notes, *_disturbance(run)):
        console.print(f"note: {line}", markup=False)
    console.print(f"{run.machine['cpu']}; {run.machine['cores']}; {run.took_s:.0f} s; {run.command}", markup=False)


def _disturbance(run: Run) -> list[str]:
    """Rows whose gateway core other programs used noticeably in a round."""
    worst: dict[str, float] = {}
    for row in run.rows:
        for detail in row.details:
            share = float(detail.get("foreign", 0.0))
            if share > 0.05:
                worst[row.gateway] = max(worst.get(row.gateway, 0.0), share)
    if not worst:
        return []
    shares = ", ".join(f"{run.title(name)} {share:.0%}" for name, share in worst.items())
    return [f"other programs used the gateway's core during the run, at worst: {shares}"]


def _markdown_grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = [":--", *("--:" for _ in head[1:])]
    return ["| " + " | ".join(row) + " |" for row in (head, rule, *rows)]


def markdown(run: Run) -> str:
    """The part of the README and of the documentation that shows the numbers."""
    lines = []
    for title, (head, rows) in grids(run):
        lines += [f"**{title}**", "", *_markdown_grid(head, rows), ""]
    head, rows = _promises(run)
    promises = ["| " + " | ".join(row) + " |" for row in (head, [":--", "--:", "--:", ":--"], *rows)]
    lines += ["**What the design promises, with key authentication and every filter on**", "", *promises, ""]
    versions = ", ".join(f"{one.title} ({one.version})" for one in run.participants if one.version)
    machine = run.machine
    virtual = "virtual machine" if machine["virtual"] == "yes" else "machine"
    lines += [
        f"Medians of alternating rounds on a {virtual}: {machine['cpu']}; cores: {machine['cores']}; "
        f"{machine['memory']}; {machine['system']}, Linux {machine['kernel']}, {machine['python']}. "
        f"Taken {run.started[:10]} by `{run.command}` in {run.took_s / 60:.0f} minutes. {versions}.",
        "",
        '"× nginx per CPU-s" compares requests per second of CPU time, which holds also where the load generator\'s '
        "core was full first; \"cores busy\" shows the gateway's core and the load's.",
        "",
    ]
    for note in (*_stream_note(run), *_absences(run), *run.notes):
        lines += [f"- {note}"]
    return "\n".join(lines).rstrip() + "\n"
