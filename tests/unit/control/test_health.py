"""Readiness: one ready worker serves, and everything that is amiss is said."""

from __future__ import annotations

from gatewright.control.health import Process, Workers, judge
from gatewright.core.messages import Status

ALL = [("worker-1", "ready", 1, 0), ("worker-2", "ready", 2, 0), ("control", "starting", 3, 0)]


def test_all_well() -> None:
    readiness = judge(Status(1, 2, 2, ALL))
    assert readiness.ready
    assert readiness.reasons == []
    assert readiness.version == 1
    assert readiness.workers == Workers(2, 2)
    assert readiness.processes[0] == Process("worker-1", "ready", 1, 0)


def test_nothing_was_heard_yet() -> None:
    readiness = judge(None)
    assert not readiness.ready
    assert readiness.reasons == ["the control process has just started"]


def test_no_worker_is_ready() -> None:
    readiness = judge(Status(0, 1, 0, [("worker-1", "starting", 1, 0)]))
    assert not readiness.ready
    assert readiness.reasons == ["0 of 1 workers are ready", "worker-1 is starting"]


def test_one_of_two_is_enough_and_the_other_is_named() -> None:
    readiness = judge(Status(1, 2, 1, [("worker-1", "ready", 1, 0), ("worker-2", "waiting", 0, 3)]))
    assert readiness.ready
    assert readiness.reasons == ["1 of 2 workers are ready", "worker-2 is waiting"]


def test_a_refused_reload_is_no_reason_to_take_traffic_away() -> None:
    readiness = judge(Status(1, 2, 2, ALL, "g.yaml:3: bad"))
    assert readiness.ready
    assert readiness.refused_reload == "g.yaml:3: bad"
    assert readiness.reasons == ["the last reload was refused; an older configuration is served"]


def test_services_that_fail_are_named() -> None:
    readiness = judge(Status(1, 2, 2, [*ALL, ("laptop/smollm2", "failed", 0, 9), ("laptop/embed", "starting", 9, 0)]))
    assert readiness.ready
    assert readiness.reasons == ["laptop/smollm2 is failed", "laptop/embed is starting"]
