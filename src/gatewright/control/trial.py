"""The trial build: everything that a worker would find wrong with a document, found before one is given it."""

from __future__ import annotations

import random
import time

from gatewright.config.documents import Gateway
from gatewright.core.ports import Ports
from gatewright.filters import FILTERS
from gatewright.pipeline.build import build_snapshot
from gatewright.pipeline.snapshot import Snapshot
from gatewright.providers import PROVIDERS
from gatewright.store.memory import MemoryCounters


def build_for_trial(document: Gateway) -> Snapshot:
    """Compile a document as a worker would; nothing serves by the result. Raises InvalidConfig with every error."""
    ports = Ports(counters=MemoryCounters(time.monotonic), now=time.monotonic, random=random.random)
    return build_snapshot(document, version=0, providers=PROVIDERS, filters=FILTERS, ports=ports)
