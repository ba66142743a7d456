"""The command line: what to measure, of whom, how often; then the tables, the JSON file and the plots."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from bench import holds, machine, measure, peers, plan, plots, results, tables, translation, upstream
from bench.contenders import DIRECT, OWN, Contender
from bench.processes import Processes, ProcessFailed

STEPS: dict[str, Callable[[measure.Bench, measure.Running], None]] = {
    "start": measure.start,
    "throughput": measure.throughput,
    "latency": measure.latency,
    "stream": measure.stream,
}
"""What is measured in every round on one started gateway, in this order; memory and soak need a fresh one."""


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line as an object."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure Gatewright beside bare proxies (PEERS=1: and other gateways) on one pinned core.",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="every figure once and short, about a minute")
    size.add_argument("--profile", action="store_true", help="only 1 KB throughput beside nginx, about ten seconds")
    size.add_argument("--render", metavar="FILE", type=Path, help="measure nothing: table and plots of this result")
    parser.add_argument("--only", metavar="KIND", action="append", choices=plan.KINDS, help=", ".join(plan.KINDS))
    parser.add_argument("--gateways", metavar="A,B", help="only these: " + ", ".join(one.name for one in everyone()))
    parser.add_argument("--rounds", type=int, help="rounds of all gateways in turn; medians are shown")
    parser.add_argument("--soak", action="store_true", help="also the soak, which only the full run has by itself")
    parser.add_argument("--soak-requests", type=int, metavar="N", help="how many requests the soak makes")
    parser.add_argument("--name", help="write the result under this name")
    parser.add_argument("--cores", default="0,1", help="core of the gateway, core of upstream and load (0,1)")
    parser.add_argument("--nice", type=int, default=0, help="priority of everything started, e.g. -10 (needs root)")
    parser.add_argument(
        "--save", action=argparse.BooleanOptionalAction, help="write the result; by itself only a full run does"
    )
    return parser.parse_args(argv)


def everyone() -> tuple[Contender, ...]:
    """Every contender there is."""
    return (*OWN, *peers.PEERS)


def choose_contenders(arguments: argparse.Namespace, with_peers: bool) -> list[Contender]:
    """Who takes part. Raises SystemExit for an unknown name."""
    if arguments.gateways:
        wanted = arguments.gateways.split(",")
        unknown = set(wanted) - {one.name for one in everyone()}
        if unknown:
            raise SystemExit(f"no such gateway: {', '.join(sorted(unknown))}; see --help")
        return [one for one in everyone() if one.name in wanted]
    if arguments.profile:
        return [one for one in OWN if one.name in ("nginx", "gatewright-full")]
    own = [one for one in OWN if not (arguments.quick and one.name == "gatewright-log")]
    return [*own, *peers.PEERS] if with_peers else own


class Round:
    """Runs a plan and keeps who was absent and why."""

    def __init__(self, bench: measure.Bench, contenders: Sequence[Contender]) -> None:
        self._bench, self._contenders = bench, contenders
        self.absent: dict[str, str] = {}

    def run(self) -> None:
        """All rounds, then the soak."""
        bench, kinds = self._bench, self._bench.plan.kinds
        for one in self._contenders:
            reason = one.missing()
            if reason is not None:
                self._drop(one, reason)
        for number in range(bench.plan.rounds):
            if "throughput" in kinds and bench.plan.mode != "profile":
                self._say(number, DIRECT)
                measure.ceiling(bench)
            if "translate" in kinds:
                print(f"round {number + 1}/{bench.plan.rounds} translation", file=sys.stderr, flush=True)
                translation.measure(bench.recorder)
            for one in self._contenders:
                wanted = [step for kind, step in STEPS.items() if kind in kinds and kind in one.kinds]
                self._attempt(one, number, wanted)
            if number == 0 and "memory" in kinds:
                for one in self._contenders:
                    self._attempt(one, number, [measure.held] if "memory" in one.kinds else [], "memory")
        if "soak" in kinds:
            for one in self._contenders:
                if one.name == "gatewright-full" or (one.role == "gatewright" and len(self._contenders) == 1):
                    self._attempt(one, bench.plan.rounds - 1, [measure.soak], "soak")

    def _attempt(
        self,
        one: Contender,
        number: int,
        steps: Sequence[Callable[[measure.Bench, measure.Running], None]],
        what: str = "",
    ) -> None:
        if one.name in self.absent or not steps:
            return
        self._say(number, one, what)
        try:
            with self._bench.run(one) as running:
                for step in steps:
                    step(self._bench, running)
        except ProcessFailed as error:
            if self._bench.recorder.last(one.name, "rps_1kb") is None:
                self._drop(one, str(error))
            else:
                self._bench.notes.append(f"{one.title}: {error}")
                print(f"  {one.name}: {error}", file=sys.stderr, flush=True)

    def _drop(self, one: Contender, reason: str) -> None:
        self.absent[one.name] = reason
        print(f"  {one.name} is left out: {reason}", file=sys.stderr, flush=True)

    def _say(self, number: int, one: Contender, what: str = "") -> None:
        print(f"round {number + 1}/{self._bench.plan.rounds} {one.title} {what}".rstrip(), file=sys.stderr, flush=True)


def measure_all(arguments: argparse.Namespace, argv: Sequence[str]) -> results.Run:
    """Run the plan of the command line and return what came of it."""
    chosen = plan.choose(
        quick=arguments.quick,
        profile=arguments.profile,
        only=arguments.only,
        rounds=arguments.rounds,
        soak=arguments.soak,
        soak_requests=arguments.soak_requests,
    )
    contenders = choose_contenders(arguments, os.environ.get("PEERS") == "1")
    gateway_core, load_core = (int(core) for core in arguments.cores.split(","))
    started, began = datetime.now(UTC), time.monotonic()
    os.sched_setaffinity(0, {load_core})
    with tempfile.TemporaryDirectory(prefix="gatewright-bench-") as folder:
        directory = Path(folder)
        with Processes(directory, arguments.nice) as processes:
            ports, _ = upstream.start(processes, directory, load_core)
            bench = measure.Bench(processes, directory, chosen, ports, (gateway_core, load_core))
            bench.build_tools()
            rounds = Round(bench, contenders)
            rounds.run()
    participants = [
        results.Participant(
            one.name,
            one.title,
            one.role,
            "" if one.name in rounds.absent else one.version(),
            rounds.absent.get(one.name),
        )
        for one in (DIRECT, *contenders)
    ]
    prefix = "PEERS=1 " if os.environ.get("PEERS") == "1" else ""
    run = results.Run(
        name=arguments.name or chosen.mode,
        mode=chosen.mode,
        started=started.isoformat(timespec="seconds"),
        took_s=round(time.monotonic() - began, 1),
        command=f"{prefix}python -m bench {shlex.join(argv)}".rstrip(),
        machine=machine.describe(gateway_core, load_core, arguments.nice),
        participants=participants,
        rows=bench.recorder.rows(),
        holds=[],
        notes=bench.notes,
    )
    return holds.judged(run)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and show; 0 when it could, 1 when something it needs is absent or failed."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = parse_arguments(argv)
    if arguments.render is not None:
        run = holds.judged(results.load(arguments.render))
        tables.show(run)
        _write(run, arguments.render.parent)
        return 0
    missing = machine.missing_programs()
    if missing:
        print("The benchmark needs, and did not find: " + "; ".join(missing), file=sys.stderr)
        print("Install them with: apt-get install $(cat bench/apt.txt)", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _end)
    try:
        run = measure_all(arguments, argv)
    except ProcessFailed as error:
        print(f"The benchmark could not run: {error}", file=sys.stderr)
        return 1
    tables.show(run)
    if arguments.save if arguments.save is not None else bool(arguments.name) or _is_whole(arguments):
        print(f"\nwritten: {results.save(run)}")
        if _is_whole(arguments):
            _write(run, results.FOLDER)
    return 0


def _is_whole(arguments: argparse.Namespace) -> bool:
    """Whether this is the run that the documentation shows: everything of everybody, nothing shortened."""
    return not any((arguments.quick, arguments.profile, arguments.only, arguments.gateways, arguments.name))


def _write(run: results.Run, folder: Path) -> None:
    """The table and the plots that the documentation shows; only a full run replaces them."""
    (folder / "table.md").write_text(tables.markdown(run))
    for name, text in plots.draw(run).items():
        (folder / f"{name}.svg").write_text(text)
