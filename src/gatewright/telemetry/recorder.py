"""A worker's bookkeeping of finished exchanges: a cell per label set, a JSON line each, sent off in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from gatewright.core.errors import GatewayError
from gatewright.core.exchange import Exchange
from gatewright.core.usage import Usage
from gatewright.pipeline.claims import BudgetGroup
from gatewright.pipeline.targets import BoundTarget
from gatewright.telemetry.records import (
    MAX_DATAGRAM_BYTES,
    Batch,
    BudgetState,
    Cell,
    Gauges,
    Labels,
)
from gatewright.telemetry.tally import Tally

_MAX_CELLS = 5_000
"""Label sets counted between two batches; exchanges beyond it are counted under the set without a model."""
_MAX_BACKLOG_BYTES = 4 * 1024 * 1024
"""Access-log lines kept while control does not read; beyond it the newest are thrown away and counted."""
_CELLS_PER_BATCH = 100
_BUDGETS_PER_BATCH = 200
_MAX_ASKED_AGAIN = 1_000
"""Budgets that are asked for again and again while nobody can be asked; the state of others is told when they are used
again."""
_MAX_MESSAGE = 4_000
"""Characters of an error's message, and of its cause, in a line; an upstream's words may be megabytes."""
_MAX_LOSSES = 20
"""Losses of one translation in a line."""
_NANO = 1_000_000
"""Femto-dollars in the last digit of a line's `cost_usd`."""
_HALF_NANO = _NANO // 2
_Key = tuple[str, str, str, str, int, str, bool]
"""The fields of `records.Labels`."""


class Recorder:
    """Takes every finished exchange once; `batches` gives what has gathered, in datagrams."""

    def __init__(self, *, slot: int, pid: int, wall: Callable[[float], bytes], lines: bool) -> None:
        self._slot = slot
        self._pid = pid
        self._wall = wall
        self.lines_wanted = lines
        self._tallies: dict[_Key, Tally] = {}
        self._fixed: dict[_Key, bytes] = {}
        """The members of an access-log line that all exchanges of a label set share, rendered."""
        self._consumers: dict[str, bytes] = {}
        """The paths of consumers, as JSON."""
        self._used: set[BudgetGroup] = set()
        self._used_before: set[BudgetGroup] = set()
        self._budgets: dict[BudgetGroup, int] = {}
        """What is to be told of budgets: what they have spent."""
        self._lines: list[bytes] = []
        self._lines_bytes = 0
        self._lost = 0
        self._encoder = msgspec.json.Encoder()
        self._packer = msgspec.msgpack.Encoder()

    def record(self, x: Exchange) -> None:
        """Book a settled exchange."""
        target: BoundTarget | None = x.target
        provider = upstream_model = ""
        if target is not None:
            provider = target.provider
            upstream_model = target.model or x.published_model
        error = x.error
        kind = "" if error is None else error.kind.value
        surface = "" if x.surface is None else x.surface.name
        total_s = x.finished_s - x.started_s
        begun_s = x.first_byte_s or x.finished_s
        overhead_s = max(begun_s - x.started_s - x.upstream_s, 0.0)
        key = (surface, x.published_model, provider, upstream_model, x.status, kind, x.stream)
        tally = self._tallies.get(key) or self._new_tally(key)
        tally.add_exchange(x, total_s, overhead_s)
        if x.usage is not None:
            tally.add_usage(x.usage, x.cost_femto_usd)
        if x.past is not None:
            self._add_past(x, key)
        for group in x.budgets:
            self._used.add(group)
        if error is not None and error.budget is not None:
            self._used.add(error.budget)
        if self.lines_wanted:
            self._add_line(x, self._fixed.get(key) or self._render_fixed(key), total_s, overhead_s)

    def used_budgets(self) -> list[BudgetGroup]:
        """The budgets of exchanges since the last call, and once more those of the time before that: a server of
        counters knows the last of what was spent a moment later."""
        groups = list(self._used | self._used_before)
        self._used_before, self._used = self._used, set()
        return groups

    def note_spent(self, groups: Sequence[BudgetGroup], spent: Sequence[int] | None) -> None:
        """What the counters say is spent, for the next batch; None: ask again the next time."""
        if spent is None:
            if len(self._used) < _MAX_ASKED_AGAIN:
                self._used.update(groups)
        else:
            self._budgets.update(zip(groups, spent, strict=True))

    def batches(self, gauges: Gauges) -> list[bytes]:
        """Everything gathered since the last call, as datagrams; there is always at least one, for the gauges."""
        cells, self._tallies = [tally.cell() for tally in self._tallies.values()], {}
        out: list[bytes] = []
        first = True
        while first or cells or self._lines or self._budgets:
            first = False
            lines = self._take_lines()
            budgets = [] if lines else self._take_budgets()
            batch = Batch(
                self._slot, self._pid, gauges, cells[:_CELLS_PER_BATCH] if not lines else [], lines, self._lost, budgets
            )
            if not lines:
                del cells[:_CELLS_PER_BATCH]
            self._lost = 0
            out.append(self._packer.encode(batch))
        return out

    def put_back(self, datagrams: list[bytes]) -> None:
        """Datagrams that could not be sent: cells are merged again, lines kept as far as the backlog allows."""
        decoder = msgspec.msgpack.Decoder(Batch)
        for datagram in datagrams:
            batch = decoder.decode(datagram)
            self._lost += batch.lost_lines
            for cell in batch.cells:
                self._merge(cell)
            for state in batch.budgets:
                group = BudgetGroup(state.name, state.who, state.window, state.ends_at, state.limit_nano, state.is_dry)
                self._budgets.setdefault(group, state.used_nano)
            if batch.lines:
                self._keep_line(batch.lines, batch.lines.count(b"\n"))

    def _add_past(self, x: Exchange, key: _Key) -> None:
        """Count the attempts that were followed by others where they were made."""
        surface, model, _, _, status, kind, stream = key
        for attempt in x.past or ():
            target = attempt.target
            its = (surface, model, target.provider, target.model or x.published_model, status, kind, stream)
            tally = self._tallies.get(its) or self._new_tally(its)
            tally.add_attempt()
            if attempt.usage is not None:
                tally.add_usage(attempt.usage, attempt.cost_femto_usd)

    def _new_tally(self, key: _Key) -> Tally:
        surface, _, provider, _, status, kind, stream = key
        if len(self._tallies) >= _MAX_CELLS:
            key = (surface, "", provider, "", status, kind, stream)
            known = self._tallies.get(key)
            if known is not None:
                return known
        tally = self._tallies[key] = Tally(Labels(*key))
        return tally

    def _merge(self, cell: Cell) -> None:
        labels = cell.labels
        key = (
            labels.surface,
            labels.model,
            labels.provider,
            labels.upstream_model,
            labels.status,
            labels.kind,
            labels.stream,
        )
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(labels)
        tally.merge(cell)

    def _add_line(self, x: Exchange, fixed: bytes, total_s: float, overhead_s: float) -> None:
        """Render one access-log line. Members that do not apply are left out; the reference page lists them all.

        By hand, because most members are the same for every exchange of a label set: `fixed` is made once.
        """
        usage, cost_femto_usd = x.usage, x.cost_femto_usd
        if x.past is not None:
            usage, cost_femto_usd = _together(x)
        tokens = (
            b""
            if usage is None
            else b',"input_tokens":%d,"cached_input_tokens":%d,"output_tokens":%d,"reasoning_tokens":%d'
            % (usage.input_total, usage.input_cached_read, usage.output_total, usage.output_reasoning)
        )
        if usage is not None and _has_units(usage):
            tokens = _render_units(usage, tokens)
        if cost_femto_usd is not None:
            tokens += b',"cost_usd":%d.%09d' % divmod((cost_femto_usd + _HALF_NANO) // _NANO, 1_000_000_000)
        first_byte = b',"first_byte_ms":%.3f' % ((x.first_byte_s - x.started_s) * 1e3) if x.first_byte_s else b""
        line = (
            b'{"time":"%b","id":"%b","consumer":%b,%b,"total_ms":%.3f,"gateway_ms":%.3f%b%b,"attempts":%d,"bytes_in":%d,"bytes_out":%d%b}\n'
            % (
                self._wall(x.finished_s),
                x.id.encode(),
                self._consumers.get(x.consumer.path) or self._render_consumer(x.consumer.path),
                fixed,
                total_s * 1e3,
                overhead_s * 1e3,
                first_byte,
                tokens,
                x.attempts,
                x.bytes_in,
                x.bytes_out,
                b"" if x.error is None and x.losses is None else self._render_rest(x),
            )
        )
        self._keep_line(line, 1)

    def _render_fixed(self, key: _Key) -> bytes:
        if len(self._fixed) > _MAX_CELLS:
            self._fixed.clear()
        members = zip(Labels.__struct_fields__, key, strict=True)
        shown = {name: value for name, value in members if name != "kind" and value not in ("", False)}
        fixed = self._fixed[key] = self._encoder.encode(shown)[1:-1]
        return fixed

    def _render_consumer(self, path: str) -> bytes:
        if len(self._consumers) > _MAX_CELLS:
            self._consumers.clear()
        rendered = self._consumers[path] = self._encoder.encode(path)
        return rendered

    def _render_rest(self, x: Exchange) -> bytes:
        """What few lines have: how it failed, and what its translation lost."""
        error = b"" if x.error is None else self._render_error(x.error)
        if x.losses is None or not x.losses.entries:
            return error
        losses = list(dict.fromkeys(map(str, x.losses.entries)))[:_MAX_LOSSES]
        return error + b',"losses":' + self._encoder.encode([loss[:_MAX_MESSAGE] for loss in losses])

    def _render_error(self, error: GatewayError) -> bytes:
        members = {"kind": error.kind.value, "source": error.source.value, "message": error.message[:_MAX_MESSAGE]}
        if error.cause is not None:
            members["cause"] = repr(error.cause)[:_MAX_MESSAGE]
        return b"," + self._encoder.encode(members)[1:-1]

    def _keep_line(self, line: bytes, count: int) -> None:
        if self._lines_bytes + len(line) > _MAX_BACKLOG_BYTES:
            self._lost += count
            return
        self._lines.append(line)
        self._lines_bytes += len(line)

    def _take_budgets(self) -> list[BudgetState]:
        groups = list(self._budgets)[:_BUDGETS_PER_BATCH]
        return [
            BudgetState(
                group.name,
                group.who,
                group.window,
                group.ends_at,
                group.limit_nano,
                self._budgets.pop(group),
                group.is_dry,
            )
            for group in groups
        ]

    def _take_lines(self) -> bytes:
        """As many lines as one datagram holds."""
        size = count = 0
        for line in self._lines:
            if size + len(line) > MAX_DATAGRAM_BYTES and count:
                break
            size += len(line)
            count += 1
        taken = b"".join(self._lines[:count])
        del self._lines[:count]
        self._lines_bytes -= size
        return taken


def _together(x: Exchange) -> tuple[Usage | None, int | None]:
    """What all attempts used and cost."""
    usage, cost = x.usage, x.cost_femto_usd
    for attempt in x.past or ():
        other: Usage | None = attempt.usage
        if other is None:
            continue
        if usage is None:
            usage, cost = other, attempt.cost_femto_usd
            continue
        usage = Usage(
            input_total=usage.input_total + other.input_total,
            input_cached_read=usage.input_cached_read + other.input_cached_read,
            output_total=usage.output_total + other.output_total,
            output_reasoning=usage.output_reasoning + other.output_reasoning,
            audio_s=usage.audio_s,
            search_units=usage.search_units,
            images=usage.images,
            characters=usage.characters,
            web_searches=usage.web_searches + other.web_searches,
        )
        if attempt.cost_femto_usd is not None:
            cost = (cost or 0) + attempt.cost_femto_usd
    return usage, cost


def _has_units(usage: Usage) -> bool:
    return (
        usage.audio_s is not None
        or usage.search_units is not None
        or usage.images is not None
        or usage.characters is not None
        or usage.web_searches > 0
        or usage.uncounted
    )


def _render_units(usage: Usage, tokens: bytes) -> bytes:
    """What was used where not only tokens are counted; tokens that nobody counted are not called none."""
    out = tokens if usage.input_total or usage.output_total else b""
    if usage.audio_s is not None:
        out += b',"audio_s":%.3f' % usage.audio_s
    if usage.search_units is not None:
        out += b',"search_units":%.3f' % usage.search_units
    if usage.images is not None:
        out += b',"images":%d' % usage.images
    if usage.characters is not None:
        out += b',"characters":%d' % usage.characters
    if usage.web_searches:
        out += b',"web_searches":%d' % usage.web_searches
    return out
