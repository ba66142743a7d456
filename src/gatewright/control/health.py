"""Whether the gateway can serve, and what is not as it should be: the answer of `/readyz`."""

from __future__ import annotations

from msgspec import Struct

from gatewright.core.messages import Status


class Workers(Struct, frozen=True):
    """How many workers there are."""

    ready: int
    """Workers that serve."""
    wanted: int
    """Workers there should be."""


class Process(Struct, frozen=True):
    """One supervised process."""

    name: str
    """`worker-N`, `control`, or a local model as `provider/model`."""
    state: str
    """`starting`, `ready`, `draining`, `waiting` (about to be started again) or `failed` (time and again)."""
    pid: int
    """Its process id."""
    restarts: int
    """How often it ended unexpectedly and was started again."""


class Readiness(Struct, frozen=True):
    """The body of `/readyz`."""

    ready: bool
    """Whether requests are served; the status is 200 then and 503 otherwise."""
    reasons: list[str]
    """Why not; and, while ready, what is nevertheless not as it should be."""
    version: int
    """Version of the configuration that is served; 0 before the first."""
    workers: Workers
    """How many serve."""
    refused_reload: str
    """Why the last reload was refused; empty when it was not."""
    processes: list[Process]
    """Everything the supervisor keeps running."""


def judge(status: Status | None) -> Readiness:
    """Readiness from the supervisor's last word; one ready worker is enough to serve."""
    if status is None:
        return Readiness(False, ["the control process has just started"], 0, Workers(0, 0), "", [])
    processes = [Process(*row) for row in status.children]
    reasons: list[str] = []
    if status.ready_workers < status.wanted_workers:
        reasons.append(f"{status.ready_workers} of {status.wanted_workers} workers are ready")
    reasons += [
        f"{process.name} is {process.state}"
        for process in processes
        if process.state in ("waiting", "failed") or (process.state == "starting" and process.name != "control")
    ]
    if status.last_error:
        reasons.append("the last reload was refused; an older configuration is served")
    return Readiness(
        ready=status.ready_workers > 0,
        reasons=reasons,
        version=status.version,
        workers=Workers(status.ready_workers, status.wanted_workers),
        refused_reload=status.last_error,
        processes=processes,
    )
