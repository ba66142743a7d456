import pytest
from tests.unit.dialects.google.wires import again, model, read, user

from gatewright.core.chat import Opaque, Part, Reasoning, Text
from gatewright.dialects.google.signatures import write_signature, write_thought

FOREIGN = Opaque("anthropic.messages", "sig")
CARRIED = write_signature(FOREIGN)
GO = user({"text": "go"})


def thought(text: str, signature: str | None = None) -> dict[str, object]:
    return {"text": text, "thought": True} | ({} if signature is None else {"thoughtSignature": signature})


def parts_of(*contents: object) -> list[Part]:
    return [part for message in read({"contents": [GO, *contents]}).messages[1:] for part in message.parts]


WHOLE = Reasoning(text="hm, so", signature=FOREIGN, is_summary=True)


@pytest.mark.parametrize(
    "contents",
    [
        [model(thought("hm, so", CARRIED))],
        [model(thought("hm, so"), thought("", CARRIED))],
        [model(thought("hm,"), thought(" so"), thought("", CARRIED))],
        [model(thought("hm,")), model(thought(" so")), model(thought("", CARRIED), {"text": "x"})],
    ],
)
def test_pieces_of_a_foreign_thought_are_one(contents: list[object]) -> None:
    found = parts_of(*contents)
    assert found[0] == WHOLE
    assert found[1:] in ([], [Text(text="x")])


def test_contents_of_nothing_but_pieces_are_gone() -> None:
    contents = [GO, model(thought("hm,")), model(thought(" so")), model(thought("", CARRIED)), model()]
    assert [len(message.parts) for message in read({"contents": contents}).messages] == [1, 1, 0]


def test_a_thought_that_only_its_issuer_can_read_takes_its_summary_along() -> None:
    carried = write_thought(None, FOREIGN, "rs_1")
    assert parts_of(model(thought("hm"), thought("", carried))) == [
        Reasoning(text="hm", encrypted=FOREIGN, id="rs_1", is_summary=True)
    ]


def test_words_of_another_turn_or_before_other_parts_are_not_signed() -> None:
    found = parts_of(model(thought("a")), GO, model(thought("b"), {"text": "x"}, thought("", CARRIED)))
    assert [getattr(part, "signature", None) for part in found] == [None, None, None, None, FOREIGN]
    assert isinstance(found[-1], Reasoning)
    assert found[-1].text == ""


def test_googles_own_thoughts_stay_in_pieces() -> None:
    body = {"contents": [GO, model(thought("a"), thought("b", "c2ln"), {"text": "", "thoughtSignature": "c2ln"})]}
    assert again(body) == body
