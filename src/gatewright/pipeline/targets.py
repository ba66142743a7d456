"""Targets, published models and policies, compiled for the snapshot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from msgspec import Raw

from gatewright.config.documents import Selector, UpstreamTimeouts
from gatewright.core.loss import Fidelity
from gatewright.pipeline.filters import Filter
from gatewright.pipeline.provider import Origin, Upstream
from gatewright.pipeline.routes import UpstreamRoute


@dataclass(frozen=True)
class BoundTarget:
    """A target with everything an attempt needs."""

    provider: str
    model: str | None
    """The upstream's own model name; None passes the client's through."""
    model_json: Raw | None
    """`model` as JSON, for the request body."""
    weight: int
    upstream: Upstream
    routes: Mapping[str, UpstreamRoute]
    """Client's dialect → how it is served there; a dialect that is absent is not."""
    timeouts: UpstreamTimeouts

    def __repr__(self) -> str:
        # `routes` hold the credential in plain text.
        return f"BoundTarget(provider={self.provider!r}, model={self.model!r}, weight={self.weight})"

    @property
    def origin(self) -> Origin:
        return self.upstream.origin


@dataclass(frozen=True)
class PublishedModel:
    """A name clients call, compiled."""

    name: str
    name_json: Raw
    """`name` as JSON, for answers; of use only when it is no pattern."""
    targets: tuple[BoundTarget, ...]
    fallback: tuple[BoundTarget, ...]
    attempts: int
    fidelity: Fidelity
    total_weight: int

    def pick(self, random: Callable[[], float]) -> BoundTarget:
        """One target by weight."""
        targets = self.targets
        if len(targets) == 1:
            return targets[0]
        mark = random() * self.total_weight
        for target in targets:
            mark -= target.weight
            if mark < 0:
                return target
        return targets[-1]

    def in_use(self) -> list[BoundTarget]:
        """Every target that is called at all, in the order of the configuration."""
        return [t for t in self.targets if t.weight > 0] + list(self.fallback)

    def others(self, first: BoundTarget) -> list[BoundTarget]:
        """What to try after `first` failed: the other targets in rotation, then the fallbacks, each once."""
        rest = [t for t in self.targets if t is not first and t.weight > 0]
        return rest + list(self.fallback)


@dataclass(frozen=True)
class AttachedPolicy:
    """A filter instance with what it applies to."""

    name: str
    on: Selector
    filter: Filter
