"""No member that a dialect reads can come in a second time with its name in other letters."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import LossReport
from gatewright.core.surface import Dialect
from gatewright.core.traits import DEFAULT
from gatewright.dialects import DIALECTS
from gatewright.testing.feature_probes import PROBES, probe_request
from gatewright.translate.hub import fit
from gatewright.translate.identity import parse_fields

CHAT = [dialect for dialect in DIALECTS if dialect.chat is not None]


def members_of(dialect: Dialect) -> set[str]:
    """What requests of this dialect are made of, with every feature that it has."""
    assert dialect.chat is not None
    found: set[str] = set()
    for feature in PROBES:
        report = LossReport("permissive")
        try:
            request = fit(probe_request(dialect, feature), dialect.name, report)
            written: dict[str, Any] = dialect.chat.encode_request(request, DEFAULT, report)
        except GatewayError:
            continue  # it has no such feature
        found |= written.keys()
    return found


@pytest.mark.parametrize("dialect", CHAT, ids=[dialect.name for dialect in CHAT])
def test_every_member_is_refused_in_other_letters(dialect: Dialect) -> None:
    members = members_of(dialect)
    assert len(members) > 3
    for name in members:
        assert name in parse_fields(msgspec.json.encode({name: 1}))
        for spelled in {name.upper(), name[0].upper() + name[1:], name.replace("s", "\u017f", 1)} - {name}:
            with pytest.raises(GatewayError, match=f"is not `{name}`") as refused:
                parse_fields(msgspec.json.encode({name: 1, spelled: 2}))
            assert refused.value.kind is Kind.MALFORMED_REQUEST
