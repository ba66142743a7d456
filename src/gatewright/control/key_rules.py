"""What the fields of keys and consumers may hold. Everything wrong is told at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from ipaddress import ip_network
from typing import Final

from gatewright.config.problems import ConfigError
from gatewright.control.refusals import Unacceptable
from gatewright.core.consumer import Scopes
from gatewright.dialects import DIALECTS

SURFACES: Final = frozenset(surface.name for dialect in DIALECTS for surface in dialect.surfaces)
MAX_NAME: Final = 200
MAX_MODEL: Final = 300
MAX_ENTRIES: Final = 500
"""Of one list of a key's scopes."""
LATEST: Final = 253_402_300_799
"""The last second of the year 9999; what lies behind it is no date in most languages."""
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


def check_key(
    path: str, name: str, scopes: Scopes, expires_at: int | None, now: float, *, is_new: bool = True
) -> Scopes:
    """Check all fields of a key; gives the scopes in their normal form. Raises Unacceptable with every error."""
    errors = [*_path_errors(path), *_name_errors(name), *_scope_errors(scopes)]
    if expires_at is not None and not (now if is_new else 0) < expires_at <= LATEST:
        errors.append(ConfigError("expires_at", "must be a time to come, before the year 10000, in Unix seconds"))
    _raise("the key is not acceptable", errors)
    networks = tuple(str(ip_network(network)) for network in scopes.networks)
    return Scopes(_once(scopes.models), _once(scopes.surfaces), _once(networks))


def check_consumer(path: str, name: str) -> None:
    """Raises Unacceptable with every error."""
    _raise("the consumer is not acceptable", [*_path_errors(path, "path"), *_name_errors(name)])


def is_plain(text: str) -> bool:
    """Whether a text can be stored in every database; what is not can be looked for nowhere."""
    return text.isprintable()


def _path_errors(path: str, field: str = "consumer") -> Iterator[ConfigError]:
    segments = path.split("/")
    if len(segments) != 3:
        yield ConfigError(field, "must be organisation/team/application, as in acme/search/indexer")
    elif not all(_SEGMENT.fullmatch(segment) and segment.strip(".") for segment in segments):
        yield ConfigError(field, "may hold letters, digits and . _ - only, 1 to 128 in each of its three parts")


def _name_errors(name: str) -> Iterator[ConfigError]:
    if len(name) > MAX_NAME or not is_plain(name):
        yield ConfigError("name", f"may have at most {MAX_NAME} printable characters")


def _scope_errors(scopes: Scopes) -> Iterator[ConfigError]:
    for field in ("models", "surfaces", "networks"):
        if len(getattr(scopes, field)) > MAX_ENTRIES:
            yield ConfigError(field, f"may have at most {MAX_ENTRIES} entries")
            return
    for index, model in enumerate(scopes.models):
        if not model or len(model) > MAX_MODEL or not is_plain(model) or "*" in model[:-1]:
            yield ConfigError(
                f"models[{index}]", f"must be a model's name of at most {MAX_MODEL} characters; a * may end it"
            )
    for index, surface in enumerate(scopes.surfaces):
        if surface not in SURFACES:
            yield ConfigError(f"surfaces[{index}]", f"there is no such surface{_suggestion(surface)}")
    for index, network in enumerate(scopes.networks):
        try:
            ip_network(network)
        except ValueError:
            yield ConfigError(
                f"networks[{index}]", "must be an address or a range, as in 192.0.2.0/24 or 2001:db8::/32"
            )


def _suggestion(surface: str) -> str:
    close = get_close_matches(surface, sorted(SURFACES), 1)
    return f"; did you mean {close[0]}?" if close else ": one is named chat_completions; the surfaces are in the manual"


def _once(entries: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entries))


def _raise(what: str, found: Iterable[ConfigError]) -> None:
    errors = tuple(found)
    if errors:
        raise Unacceptable(f"{what}: " + "; ".join(f"{error.path} {error.message}" for error in errors), errors)
