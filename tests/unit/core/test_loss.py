import pytest

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import Feature, Fidelity, Loss, LossReport, Outcome


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
