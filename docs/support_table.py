"""The page that says what survives a translation, made by translating: one probe per feature through every dialect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gatewright.core.loss import Outcome
from gatewright.core.surface import Dialect
from gatewright.dialects import DIALECTS
from gatewright.testing.feature_probes import PROBES, probe

INTRODUCTION: Final = """\
# What survives translation

A client of any of these APIs may call a model behind any other: [Translation](../explanation/translation.md) says how.
Requests and answers go through one typed representation, so there is one column per API and not one per pair: a feature
survives a pair when the client's API has it (it is not `–` in the client's column, since the client could not have sent
it) and the provider's column says *exact* or *nearly*.

| mark | meaning |
| --- | --- |
| exact | written to the provider with the same meaning |
| nearly | written with the nearest the API has; told in the loss report |
| dropped | left out, because the answer is still what was asked for; told in the loss report |
| – | cannot be expressed: the request is refused (with `fidelity: permissive` left out, and told) |

The loss report is the response header `x-gatewright-loss` and the field `losses` of the access log; `gatewright
explain-translation FILE --to DIALECT` shows it for a request at hand. `fidelity: strict` on a model refuses whatever is
not exact. Between a client and a provider that speak the same API nothing is translated, and nothing is lost.

The table is for a model of which nothing particular is known; the traits of a host or model (no developer role, native
JSON Schema) change single cells. It is written by running the code.
"""

_MARKS: Final = {None: "exact", Outcome.APPROXIMATED: "nearly", Outcome.DROPPED: "dropped", Outcome.REFUSED: "–"}


def chat_dialects() -> list[Dialect]:
    """The dialects of the table, in the order of the documentation."""
    return [dialect for dialect in DIALECTS if dialect.chat is not None]


def support_rows() -> Iterator[tuple[str, ...]]:
    """One row per feature: its name, and what becomes of it in each dialect."""
    for feature in PROBES:
        yield (feature.value, *(_MARKS[probe(dialect, feature)] for dialect in chat_dialects()))
