import base64

import pytest

from gatewright.core.chat import Opaque, Reasoning
from gatewright.dialects.google.members import NAME
from gatewright.dialects.google.signatures import (
    SKIP,
    read_signature,
    read_thought,
    standard_base64,
    write_signature,
    write_thought,
)

OWN = Opaque(NAME, "CtAJAY89a18w_-+/==")
FOREIGN = Opaque("anthropic.messages", "EuYBCkQYAiJA+/==é:")


def respelled(value: str) -> str:
    """What an SDK that holds the signature as bytes sends back."""
    return base64.urlsafe_b64encode(base64.b64decode(value, validate=True)).decode()


def test_googles_own_goes_through_untouched() -> None:
    assert write_signature(OWN) == OWN.value
    assert read_signature(OWN.value) == OWN
    assert write_thought(OWN, None, None) == OWN.value


@pytest.mark.parametrize("spell", [str, respelled, lambda value: respelled(value).rstrip("=")])
def test_a_foreign_one_survives_a_client_that_decodes_it(spell) -> None:  # type: ignore[no-untyped-def]
    assert read_signature(spell(write_signature(FOREIGN))) == FOREIGN


@pytest.mark.parametrize(
    ("signature", "encrypted", "item"),
    [
        (FOREIGN, None, None),
        (None, FOREIGN, None),
        (None, FOREIGN, "rs_1"),
        (FOREIGN, Opaque("openai.responses", "gAAA"), "rs_1"),
        (OWN, FOREIGN, None),
        (OWN, None, "rs_1"),
    ],
)
@pytest.mark.parametrize("spell", [str, respelled])
def test_a_thought_comes_back_with_all_it_had(signature, encrypted, item, spell) -> None:  # type: ignore[no-untyped-def]
    written = write_thought(signature, encrypted, item)
    assert written is not None
    assert read_thought("hm", spell(written)) == Reasoning(
        text="hm", signature=signature, encrypted=encrypted, id=item, is_summary=True
    )


def test_a_thought_without_anything_to_come_back() -> None:
    assert write_thought(None, None, None) is None
    assert write_thought(None, None, "rs_1") is None
    assert read_thought("hm", None) == Reasoning(text="hm", is_summary=True)


@pytest.mark.parametrize(
    "value",
    [
        SKIP,
        "Z2F0ZXdyaWdo",
        "Z2F0ZXdyaWdo!!",
        base64.b64encode(b"gatewright").decode(),
        base64.b64encode(b"gatewrighter{}").decode(),
        base64.b64encode(b"gatewright\xff").decode(),
        base64.b64encode(b'gatewright{"signature":1}').decode(),
        base64.b64encode(b"gatewright{").decode(),
    ],
)
def test_what_only_looks_like_a_carried_one_is_googles(value: str) -> None:
    assert read_signature(value).value == value
    assert read_thought("", value).signature == Opaque(NAME, value)


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [("ab-_", "ab+/"), ("ab", "ab=="), ("abc", "abc="), ("abcd", "abcd"), ("", ""), ("a", "a"), ("ab==", "ab==")],
)
def test_base64_in_the_standard_alphabet(spelled: str, expected: str) -> None:
    assert standard_base64(spelled) == expected
