"""The model catalogue as it is served: the packaged rows and the operator's, as far as a target may come to them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from itertools import chain

import msgspec

from gatewright.config.catalogue import Catalogue, ModelFacts, find_key, merge, parse_catalogue
from gatewright.config.documents import Gateway
from gatewright.config.problems import ConfigError, InvalidConfig
from gatewright.config.tree import join
from gatewright.config.wording import listing, suggestion
from gatewright.providers import PROVIDERS


def packaged_catalogue() -> dict[str, ModelFacts]:
    """The rows that come with the gateway; read anew each time, since a process needs them once in a while only."""
    return parse_catalogue(files("gatewright.config").joinpath("catalogue.json").read_bytes())


def with_catalogue(document: Gateway) -> Gateway:
    """The document with every row that its targets may come to, its own rows merged with the packaged ones.

    All other rows are left out: each worker holds the document, and most gateways publish a few models out of many.
    The document must have passed the trial build. Raises InvalidConfig for a row that can describe nothing.
    """
    packaged = packaged_catalogue()
    errors = list(_unknown_types(document.catalogue, packaged))
    rows = merge(packaged, document.catalogue, errors)
    if errors:
        raise InvalidConfig(errors)
    keys = sorted(set(_reachable(document, rows)))
    return msgspec.structs.replace(document, catalogue={key: rows[key] for key in keys})


def _unknown_types(own: Catalogue, packaged: Catalogue) -> Iterator[ConfigError]:
    types = sorted({kind.name for kind in PROVIDERS} | {key.partition("/")[0] for key in packaged})
    for key in own:
        kind = key.partition("/")[0]
        if kind not in types:
            near = suggestion(kind, types)
            advice = f"did you mean `{near}`?" if near else f"the types are {listing(types)}"
            yield ConfigError(join("catalogue", key), f"begins with no provider type; {advice}")


def _reachable(document: Gateway, rows: Catalogue) -> Iterator[str]:
    for name, model in document.models.items():
        for target in chain(model.targets, model.fallback):
            kind = document.providers[target.provider]["type"]
            called = target.model or name
            if target.model is None and name.endswith("*"):
                # The client chooses the name, and one name may be described by the row of another.
                yield from (key for key in rows if key.startswith(f"{kind}/"))
            elif (key := find_key(rows, kind, called)) is not None:
                yield key
