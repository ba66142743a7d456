"""What one policy takes of each exchange."""

from __future__ import annotations

from msgspec.structs import replace

from gatewright.core.counting import Allowance, Kind, Refused
from gatewright.core.errors import GatewayError
from gatewright.core.errors import Kind as ErrorKind
from gatewright.pipeline.claims import BudgetGroup, Claim, Claims, Measure

GROUP = BudgetGroup("monthly", "acme", "2026-11", 2e9, 1_000)


def refuse(refused: Refused) -> GatewayError:
    return GatewayError(ErrorKind.QUOTA_EXCEEDED, "no more")


def refuse_unpriced(model: str) -> GatewayError:
    return GatewayError(ErrorKind.FORBIDDEN, f"no price of {model}")


def test_soft_claims_count_the_same_and_are_made_once() -> None:
    claim = Claim(Allowance("money", Kind.BUDGET, 100), Measure.COST, refuse)
    claims = Claims(
        [claim], budget=GROUP, other_model="cheap", refuse_unpriced=lambda model: refuse(Refused(0, 0, 1.0))
    )
    soft = claims.soften()
    assert soft is claims.soften()
    assert (soft.other_model, soft.refuse_unpriced) == (None, None)
    assert soft.budget == replace(GROUP, is_dry=True), "which is why it is soft"
    (softened,), (hard,) = soft.claims, claims.claims
    assert (softened.allowance.key, softened.allowance.is_hard) == (hard.allowance.key, False)


def test_groups_are_counted_by_name_group_and_window() -> None:
    assert GROUP.key == "budget:monthly:acme:2026-11"
    claim = GROUP.claim("\n", is_hard=False, is_open=True)
    assert (claim.key, claim.shared_key) == (GROUP.key, "budget:monthly:\n:2026-11")
    assert (claim.is_hard, claim.is_open, claim.ends_at) == (False, True, 2e9)
    assert GROUP.allowance == Allowance(GROUP.key, Kind.BUDGET, 1_000, ends_at=2e9)
