import os
import re
import secrets

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.cli.key import make_key as make_configuration_key
from gatewright.core.consumer import Consumer, Scopes
from gatewright.core.keys import (
    KEY_CHARACTERS,
    KeyRecord,
    digest_of,
    find_id,
    is_managed,
    is_whole,
    make_key,
)

KEY_ID, KEY = make_key(lambda count: bytes(range(count)))


def test_keys_have_the_form_that_scanners_look_for() -> None:
    made = [make_key(secrets.token_bytes) for _ in range(200)]
    assert len({key_id for key_id, _ in made}) == 200
    for key_id, key in made:
        assert re.fullmatch(r"gw-[a-z2-7]{10}-[0-9A-Za-z]{49}", key)
        assert len(key) == KEY_CHARACTERS
        assert key.startswith(f"gw-{key_id}-")
        assert is_whole(key.encode())


def test_a_key_holds_all_of_its_256_bits() -> None:
    def fixed(last: int) -> str:
        return make_key(lambda count: bytes(count - 1) + bytes([last]) if count == 32 else bytes(count))[1]

    assert len({fixed(last)[14:57] for last in range(256)}) == 256
    assert make_key(lambda count: b"\xff" * count)[1][14:57] < "z" * 43
    assert make_key(lambda count: b"\xff" * count)[0] == "7" * 10


@pytest.mark.parametrize(
    "wrong",
    [
        KEY[:-1],
        KEY + "0",
        KEY.upper(),
        KEY[:20] + KEY[21] + KEY[20] + KEY[22:],
        KEY.replace("gw-", "gw_"),
        "gw-b" + KEY[4:],
        "",
        "gw-",
        "sk-" + KEY[3:],
        f" {KEY}",
        f"{KEY}\n",
    ],
)
def test_what_was_cut_off_or_mistyped_is_not_whole(wrong: str) -> None:
    assert wrong != KEY
    assert not is_whole(wrong.encode())


@given(st.integers(0, KEY_CHARACTERS - 1), st.sampled_from("0123456789ABCDEFabcdef"))
def test_a_wrong_character_is_noticed_wherever_it_is(at: int, character: str) -> None:
    changed = KEY[:at] + character + KEY[at + 1 :]
    assert is_whole(changed.encode()) is (changed == KEY)


def test_keys_of_the_configuration_are_not_taken_for_managed_ones() -> None:
    assert is_managed(KEY.encode())
    assert is_managed(KEY[:40].encode())
    assert not any(is_managed(make_configuration_key().encode()) for _ in range(1_000))
    assert not is_managed(b"sk-1234567890123456")


@pytest.mark.parametrize("text", [KEY_ID, f"gw-{KEY_ID}", KEY])
def test_people_may_name_a_key_as_they_see_it(text: str) -> None:
    assert find_id(text) == KEY_ID


@pytest.mark.parametrize("text", ["", "gw-", "' OR 1=1 --", KEY_ID + "a", KEY_ID.upper(), "gw-\0", "%", KEY + "\n"])
def test_what_names_no_key_is_told(text: str) -> None:
    assert find_id(text) is None


def test_a_digest_depends_on_key_and_secret() -> None:
    secret = os.urandom(32)
    assert digest_of(b"a", secret) == digest_of(b"a", secret)
    assert len({digest_of(b"a", secret), digest_of(b"b", secret), digest_of(b"a", bytes(32))}) == 3
    assert len(digest_of(b"a", secret)) == 32


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        (KeyRecord("k", "a/b/c"), None),
        (KeyRecord("k", "a/b/c", expires_at=101), None),
        (KeyRecord("k", "a/b/c", expires_at=100), "has expired"),
        (KeyRecord("k", "a/b/c", is_suspended=True, expires_at=99), "is suspended"),
        (KeyRecord("k", "a/b/c", is_suspended=True, is_revoked=True), "was revoked"),
    ],
)
def test_a_key_holds_or_says_why_not(record: KeyRecord, fault: str | None) -> None:
    assert record.fault(100.0) == fault


def test_a_record_tells_the_consumer() -> None:
    assert KeyRecord("k", "a/b/c").as_consumer() == Consumer("a/b/c", "k")
    scopes = Scopes(models=("gpt-*",))
    assert KeyRecord("k", "a/b/c", scopes, 7).as_consumer() == Consumer("a/b/c", "k", scopes=scopes, expires_at=7)


def test_records_survive_their_encoding() -> None:
    record = KeyRecord("k", "a/b/c", Scopes(networks=("10.0.0.0/8",)), 5, True, False)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=KeyRecord) == record
    longer = [*msgspec.msgpack.decode(msgspec.msgpack.encode(record)), "what a later version adds"]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(longer), type=KeyRecord) == record
