import pytest
from msgspec import Raw

from gatewright.core.chat import ChatRequest, Extension, Native, Role, ToolChoice
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import (
    Feature,
    Fidelity,
    Loss,
    LossReport,
    Outcome,
    tell_choice,
    tell_foreign,
    tell_native,
)


@pytest.mark.parametrize(
    ("fidelity", "outcome", "is_refused"),
    [
        ("strict", Outcome.APPROXIMATED, True),
        ("strict", Outcome.DROPPED, True),
        ("strict", Outcome.REFUSED, True),
        ("warn", Outcome.APPROXIMATED, False),
        ("warn", Outcome.DROPPED, False),
        ("warn", Outcome.REFUSED, True),
        ("permissive", Outcome.APPROXIMATED, False),
        ("permissive", Outcome.DROPPED, False),
        ("permissive", Outcome.REFUSED, False),
    ],
)
def test_fidelity_decides_what_a_loss_in_a_request_means(
    fidelity: Fidelity, outcome: Outcome, is_refused: bool
) -> None:
    report = LossReport(fidelity)
    if is_refused:
        with pytest.raises(GatewayError) as caught:
            report.add(Feature.TOP_K, outcome, "sampling.top_k", "there is none")
        assert (caught.value.kind, caught.value.param) == (Kind.UNSUPPORTED_FEATURE, "sampling.top_k")
        assert "top-k" in caught.value.message
        assert "there is none" in caught.value.message
    else:
        report.add(Feature.TOP_K, outcome, "sampling.top_k", "there is none")
    assert report.entries == [Loss(Feature.TOP_K, outcome, "sampling.top_k", "there is none")]


def test_a_loss_in_an_answer_is_told_under_any_fidelity_up_to_a_limit() -> None:
    report = LossReport("strict")
    for number in range(150):
        report.note(Feature.CITATIONS, Outcome.DROPPED, f"parts[{number}]", "")
    assert len(report.entries) == 100


def test_outcomes_have_verbs() -> None:
    report = LossReport("permissive")
    report.approximated(Feature.N, "a", "x")
    report.dropped(Feature.N, "b", "x")
    report.refused(Feature.N, "c", "")
    assert [str(loss) for loss in report.entries] == ["a: approximated (x)", "b: dropped (x)", "c: refused"]


def test_warn_is_the_default() -> None:
    report = LossReport()
    report.dropped(Feature.SEED, "sampling.seed", "x")
    with pytest.raises(GatewayError):
        report.refused(Feature.N, "sampling.n", "x")


def test_members_of_another_dialect_are_told_of() -> None:
    report = LossReport()
    extra = Extension("x.y", {"a": Raw(b"1"), "b": Raw(b"2")})
    tell_foreign(None, "x.y", report)
    tell_foreign(extra, "x.y", report)
    assert report.entries == []
    tell_foreign(extra, "z", report)
    assert [(loss.feature, loss.outcome, loss.path) for loss in report.entries] == [
        (Feature.VENDOR, Outcome.DROPPED, "a"),
        (Feature.VENDOR, Outcome.DROPPED, "b"),
    ]


@pytest.mark.parametrize(
    ("role", "outcome"),
    [("assistant", Outcome.DROPPED), ("user", Outcome.REFUSED), ("system", Outcome.REFUSED)],
)
def test_parts_of_another_dialect_may_be_missing_from_the_past_alone(role: Role, outcome: Outcome) -> None:
    report = LossReport("permissive")
    tell_native(Native(dialect="x.y", kind="k", raw=Raw(b"{}")), role, "p", report)
    assert report.entries == [Loss(Feature.NATIVE_TOOLS, outcome, "p", "only x.y has `k` parts")]


@pytest.mark.parametrize(
    ("choice", "is_told"),
    [
        (None, False),
        (ToolChoice(mode="auto"), False),
        (ToolChoice(mode="none"), False),
        (ToolChoice(mode="required"), True),
        (ToolChoice(mode="named", name="f"), True),
    ],
)
def test_a_demand_for_a_call_cannot_be_left_out(choice: ToolChoice | None, is_told: bool) -> None:
    report = LossReport("permissive")
    tell_choice(ChatRequest(model="m", messages=(), tool_choice=choice), report)
    assert [loss.outcome for loss in report.entries] == ([Outcome.REFUSED] if is_told else [])
