"""Names of members: one in other letters than a known one is found, whatever a server folds, and no other."""

from __future__ import annotations

import pytest

from gatewright.core.fields import KNOWN, find_respelled


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("Model", "model"),
        ("MODEL", "model"),
        ("me\u017f\u017fages", "messages"),  # the long s
        ("max_to\u212aens", "max_tokens"),  # the Kelvin sign
        ("generationconfig", "generationConfig"),
        ("model", None),
        ("generationConfig", None),
        ("generation_config", None),
        ("models", None),
        ("maxTokens", None),
        ("Foo", None),
        ("", None),
    ],
)
def test_a_name_in_other_letters_is_found(name: str, known: str | None) -> None:
    assert find_respelled(["model", "x", name]) == (None if known is None else (name, known))


def test_known_names_are_told_apart_by_more_than_their_letters() -> None:
    assert find_respelled(KNOWN) is None
    assert len({name.casefold() for name in KNOWN}) == len(KNOWN)
