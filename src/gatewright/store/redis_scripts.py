"""What runs inside the Redis or Valkey server: one atomic script per operation, and the words to and from it.

A counter is a hash. Its numbered fields are slices of time: of a sliding allowance what was taken in them, of a budget
or of exchanges at once what was reserved in them. Both are forgotten with their slice, so a reservation of a process
that died needs nobody to give it back. The field `s` of a budget is what is settled for good. The server's own clock
counts the slices, so the replicas' clocks do not matter.

Every name begins with `{prefix}`: the braces put all counters of a gateway on one slot, so that one script may touch
them together. Numbers stay below 2^53, where Lua's are exact; a reply is one string of whole numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha1
from typing import Final

from msgspec import Struct

from gatewright.core.cells import CELL_S, CELLS, UNKNOWN_WAIT_S
from gatewright.core.counting import SLICES, Allowance, Kind

KEPT_S: Final = 600
"""How long a budget is kept beyond the end of its window: exchanges that began in it may settle late."""
_REPLY_S: Final = 86_400
"""How long the server remembers the last batch of a replica, so that one sent again is not counted again."""

_READ: Final = """
local now = tonumber(ARGV[1])
local is_clock_given = now ~= nil
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000000 + t[2]
end
local function whole(number) return string.format('%.0f', number) end
local function size_of(kind)
  if kind == SLIDING then return SLICES end
  return CELLS
end
local function read(key, kind, width)
  local c = {slice = math.floor(now / 1000000 / width), total = 0, cells = {}, dead = {}}
  c.first = c.slice - size_of(kind) + 1
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local amount = tonumber(all[i + 1])
    if all[i] == 's' then
      c.total = c.total + amount
    elseif tonumber(all[i]) >= c.first then
      c.cells[tonumber(all[i])] = amount
      c.total = c.total + amount
    else
      c.dead[#c.dead + 1] = all[i]
    end
  end
  return c
end
local function change(key, c, slice, amount)
  if amount == 0 then return end
  c.cells[slice] = (c.cells[slice] or 0) + amount
  c.total = c.total + amount
  if c.cells[slice] == 0 then
    redis.call('HDEL', key, whole(slice))
  else
    redis.call('HINCRBY', key, whole(slice), whole(amount))
  end
end
local function settle(key, c, amount)
  c.total = c.total + amount
  redis.call('HINCRBY', key, 's', whole(amount))
end
local function keep(key, c, kind, width, ends_at)
  if #c.dead > 0 then redis.call('HDEL', key, unpack(c.dead)) end
  if is_clock_given then return end
  if kind ~= BUDGET then
    redis.call('PEXPIRE', key, whole(math.ceil((size_of(kind) + 1) * width * 1000)))
  elseif ends_at > 0 then
    redis.call('PEXPIRE', key, whole(math.max(1, math.ceil((ends_at - now) / 1000) + KEPT_MS)))
  end
end
"""

_TAKE: Final = (
    _READ
    + """
local function wait_us(c, kind, width, limit, amount)
  if kind == CONCURRENT and amount <= limit then return ASK_AGAIN_US end
  if kind ~= SLIDING or (amount > 0 and limit <= 0) then return -1 end
  local surplus = c.total
  if amount <= limit then surplus = c.total + amount - limit end
  for slice = c.first, c.slice do
    surplus = surplus - (c.cells[slice] or 0)
    if surplus <= 0 then return math.max(0, math.ceil((slice + SLICES) * width * 1000000 - now)) end
  end
  return -1
end
local counters, takes, moves = {}, {}, {}
for i, key in ipairs(KEYS) do
  local at = 2 + (i - 1) * 8
  local kind, width, limit = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 3])
  local is_hard, more = ARGV[at + 4] == '1', tonumber(ARGV[at + 5])
  local held, mark = tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7])
  local c = read(key, kind, width)
  local take, own = more, 0
  local is_new = mark < 0
  if not is_new then
    if mark >= c.first then own = math.min(held, c.cells[mark] or 0) end
    if kind ~= SLIDING then take = more + held - own end
  end
  if is_hard and c.total + take > limit and (is_new or take > 0) then
    local is_alone = kind == SLIDING and c.total == own and own + more > limit and limit > 0
    if not is_alone then
      return table.concat({'0', whole(now), i - 1, whole(limit - c.total),
        whole(wait_us(c, kind, width, limit, take))}, ' ')
    end
  end
  counters[i], takes[i], moves[i] = c, take, kind ~= SLIDING and own or 0
end
local reply = {'1', whole(now)}
for i, key in ipairs(KEYS) do
  local at, c = 2 + (i - 1) * 8, counters[i]
  if moves[i] > 0 then change(key, c, tonumber(ARGV[at + 7]), -moves[i]) end
  change(key, c, c.slice, moves[i] + takes[i])
  keep(key, c, tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]))
  reply[#reply + 1] = whole(tonumber(ARGV[at + 3]) - c.total)
end
return table.concat(reply, ' ')
"""
)

_BOOK: Final = (
    _READ
    + """
local last = redis.call('GET', KEYS[1])
if last then
  local number, reply = string.match(last, '^(%d+)|(.*)$')
  -- An older one was held up on a connection that was given up, and was sent again long ago.
  if tonumber(number) >= tonumber(ARGV[2]) then return reply end
end
local generation = redis.call('GET', KEYS[2])
if not generation then
  generation = ARGV[3]
  redis.call('SET', KEYS[2], generation)
end
local reply = {generation, whole(now)}
for i = 3, #KEYS do
  local key, at = KEYS[i], 4 + (i - 3) * 10
  local kind, width, ends_at = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local limit, is_hard, mark = tonumber(ARGV[at + 3]), ARGV[at + 4] == '1', tonumber(ARGV[at + 5])
  local give, add = tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7])
  local settled, want = tonumber(ARGV[at + 8]), tonumber(ARGV[at + 9])
  local c = read(key, kind, width)
  if mark < 0 then mark = c.slice end
  if mark >= c.first then
    change(key, c, mark, math.max(add - give, -(c.cells[mark] or 0)))
  end
  if settled ~= 0 then settle(key, c, settled) end
  if want > 0 then
    if is_hard then want = math.max(0, math.min(want, math.floor((limit - c.total) / 4))) end
    change(key, c, c.slice, want)
    reply[#reply + 1] = whole(want)
    reply[#reply + 1] = whole(limit - c.total)
  end
  keep(key, c, kind, width, ends_at)
end
reply = table.concat(reply, ' ')
redis.call('SET', KEYS[1], ARGV[2] .. '|' .. reply, 'PX', REPLY_MS)
return reply
"""
)

_USED: Final = (
    _READ
    + """
local reply = {whole(now)}
for i, key in ipairs(KEYS) do
  reply[#reply + 1] = whole(read(key, tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])).total)
end
return table.concat(reply, ' ')
"""
)

_RAISE: Final = (
    _READ
    + """
local missing = tonumber(ARGV[3]) - tonumber(redis.call('HGET', KEYS[1], 's') or '0')
if missing > 0 then
  settle(KEYS[1], {total = 0}, missing)
  keep(KEYS[1], {dead = {}}, BUDGET, 0, tonumber(ARGV[2]))
end
return whole(math.max(0, missing))
"""
)
_SETTLED: Final = (
    _READ
    + """
local reply = {}
for i, key in ipairs(KEYS) do reply[i] = redis.call('HGET', key, 's') or '0' end
return table.concat(reply, ' ')
"""
)

_SEED: Final = (
    _READ
    + """
local generation = redis.call('GET', KEYS[1])
if not generation then
  generation = ARGV[2]
  redis.call('SET', KEYS[1], generation)
end
if ARGV[3] == generation then redis.call('SET', KEYS[2], generation) end
if redis.call('GET', KEYS[2]) == generation then return '' end
return generation
"""
)
_WORDS: Final = {
    "SLICES": SLICES,
    "CELLS": CELLS,
    "SLIDING": int(Kind.SLIDING),
    "BUDGET": int(Kind.BUDGET),
    "CONCURRENT": int(Kind.CONCURRENT),
    "KEPT_MS": KEPT_S * 1000,
    "REPLY_MS": _REPLY_S * 1000,
    "ASK_AGAIN_US": int(UNKNOWN_WAIT_S * 1_000_000),
}
_MAX_SHAPES: Final = 50_000
"""Remembered; beyond it they are made again."""
_NEVER_S: Final = 9e9
"""Windows that end later do not end; microseconds of it stay exact in Lua."""


class Script(Struct, frozen=True):
    """A script of the server and the name it is called by."""

    source: str
    digest: str


def _script(source: str) -> Script:
    source = re.sub(r"\b[A-Z_]{5,}\b", lambda word: str(_WORDS.get(word[0], word[0])), source)
    # The protocol names a script by its SHA-1 (https://valkey.io/commands/evalsha/); nothing rests on its strength.
    return Script(source, sha1(source.encode(), usedforsecurity=False).hexdigest())


TAKE: Final = _script(_TAKE)
"""Reserve or extend: take of all, or of none."""
BOOK: Final = _script(_BOOK)
"""A replica's next batch: give back, book what was used, and take in advance. Sent again, it only repeats its reply."""
USED: Final = _script(_USED)
SETTLED: Final = _script(_SETTLED)
RAISE: Final = _script(_RAISE)
SEED: Final = _script(_SEED)
"""Which generation of the server's numbers lacks what the ledger knows; none, once that is noted."""
SCRIPTS: Final = (TAKE, BOOK, USED, SETTLED, RAISE, SEED)


class Shape(Struct, frozen=True):
    """How an allowance's counter lies on the server."""

    name: str
    kind: Kind
    width_s: float
    """The length of a slice."""
    ends_at_us: int
    """When it may be forgotten, at the earliest; 0 is never."""

    def slice_at(self, now_us: float) -> int:
        """The slice that the server's clock is in; the same division as in the scripts."""
        return int(now_us / 1e6 / self.width_s)


class Row(Struct):
    """One counter's part of a batch."""

    shape: Shape
    allowance: Allowance
    mark: int
    """The slice that `give` and `add` are for; what is given back of a slice that is forgotten is forgotten."""
    give: int = 0
    """What is held there no longer."""
    add: int = 0
    """What was used there."""
    settled: int = 0
    """What was used for good."""
    want: int = 0
    """What to take in advance, if it is left; a quarter of what is left at most, so that no lease takes the rest."""


class Taken(Struct, frozen=True):
    """What `TAKE` replied."""

    now_us: int
    left: list[int] | None
    """What is left of each; None when it was refused."""
    index: int = 0
    refused_left: int = 0
    wait_s: float = 0.0


class Booked(Struct, frozen=True):
    """What `BOOK` replied."""

    generation: str
    now_us: int
    leases: list[tuple[int, int]]
    """Of each row that wanted: what was taken in advance, and what is left besides."""


def shape_of(allowance: Allowance, prefix: str) -> Shape:
    """Where and how an allowance is counted. One key with another kind or period is another counter."""
    key = allowance.key
    match allowance.kind:
        case Kind.SLIDING:
            width = allowance.period_s / (SLICES - 1)
            return Shape(f"{{{prefix}}}:s{allowance.period_s:.6g}:{key}", Kind.SLIDING, width, 0)
        case Kind.BUDGET:
            ends_at = int(allowance.ends_at * 1_000_000) if allowance.ends_at < _NEVER_S else 0
            return Shape(f"{{{prefix}}}:b:{key}", Kind.BUDGET, CELL_S, ends_at)
        case Kind.CONCURRENT:
            return Shape(f"{{{prefix}}}:c:{key}", Kind.CONCURRENT, CELL_S, 0)


class Shapes:
    """Where and how allowances are counted, remembered."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._known: dict[str, Shape] = {}

    def of(self, allowance: Allowance) -> Shape:
        """The same as `shape_of`."""
        shape = self._known.get(allowance.key)
        if (
            shape is None
            or shape.kind is not allowance.kind
            # A sliding counter's period may have changed with the configuration.
            or (shape.kind is Kind.SLIDING and shape.width_s != allowance.period_s / (SLICES - 1))
        ):
            shape = shape_of(allowance, self._prefix)
            if len(self._known) >= _MAX_SHAPES:
                self._known.clear()
            self._known[allowance.key] = shape
        return shape


def render_clock(now_us: int | None) -> str:
    """The first argument of every script: nothing for the server's clock, which is what all but tests use."""
    return "" if now_us is None else str(now_us)


def render_take(
    shapes: Sequence[Shape],
    allowances: Sequence[Allowance],
    amounts: Sequence[int],
    held: Sequence[int] | None,
    marks: Sequence[int] | None,
) -> list[str | int | float]:
    """The arguments of `TAKE` behind the clock."""
    arguments: list[str | int | float] = []
    for i, (shape, allowance) in enumerate(zip(shapes, allowances, strict=True)):
        arguments += (
            int(shape.kind),
            repr(shape.width_s),
            shape.ends_at_us,
            allowance.limit,
            int(allowance.is_hard),
            amounts[i],
            0 if held is None else held[i],
            -1 if marks is None else marks[i],
        )
    return arguments


def parse_taken(reply: bytes) -> Taken:
    """What `TAKE` replied."""
    is_granted, now, *rest = map(int, reply.split())
    if is_granted:
        return Taken(now, rest)
    index, left, wait_us = rest
    return Taken(now, None, index, left, wait_us / 1_000_000 if wait_us >= 0 else float("inf"))


def render_book(number: int, generation: str, rows: Sequence[Row]) -> list[str | int | float]:
    """The arguments of `BOOK` behind the clock."""
    arguments: list[str | int | float] = [number, generation]
    for row in rows:
        shape, allowance = row.shape, row.allowance
        arguments += (
            int(shape.kind),
            repr(shape.width_s),
            shape.ends_at_us,
            allowance.limit,
            int(allowance.is_hard),
            row.mark,
            row.give,
            row.add,
            row.settled,
            row.want,
        )
    return arguments


def parse_booked(reply: bytes) -> Booked:
    """What `BOOK` replied."""
    generation, now, *rest = reply.split()
    numbers = list(map(int, rest))
    return Booked(generation.decode(), int(now), list(zip(numbers[::2], numbers[1::2], strict=True)))


def parse_settled(reply: bytes) -> list[int]:
    """What `SETTLED` replied: what is settled of each."""
    return list(map(int, reply.split()))


def parse_used(reply: bytes) -> list[int]:
    """What `USED` replied: what is used and reserved of each."""
    return list(map(int, reply.split()))[1:]
