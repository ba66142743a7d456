"""Signing keys: made once for all processes, rotated with an overlap, refused when others can read them."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import msgspec
import pytest
from joserfc import jws
from joserfc.jwk import ECKey, KeySet

from gatewright.config.gateway_tokens import LONGEST_S
from gatewright.server.signing_keys import HEADER_CHARACTERS, SigningKey, SigningKeys, UnusableSigningKeys, _Stored

NOW = 1_800_000_000.0


def is_signed(key: SigningKey, text: bytes) -> bool:
    signed, _, signature = text.rpartition(b".")
    return key.has_signed(signed, signature)


def published(keys: SigningKeys, now: float = NOW) -> list[str]:
    return [jwk["kid"] for jwk in msgspec.json.decode(keys.jwks(now))["keys"]]


def test_a_key_is_made_at_first_use(tmp_path: Path) -> None:
    keys = SigningKeys(tmp_path)
    assert not keys.refresh()
    assert not keys.is_ready
    assert not (tmp_path / "signing").exists()
    key = keys.current(NOW)
    assert stat.S_IMODE(key.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.path.parent.stat().st_mode) == 0o700
    again = SigningKeys(tmp_path)
    again.refresh()
    assert again.current(NOW).kid == key.kid
    assert len(key.header) == HEADER_CHARACTERS


def test_others_can_check_what_is_signed(tmp_path: Path) -> None:
    keys = SigningKeys(tmp_path)
    text = keys.current(NOW).sign(b'{"a":1}')
    ring = KeySet.import_key_set(msgspec.json.decode(keys.jwks(NOW)))
    found = jws.deserialize_compact(text, ring, algorithms=["ES256"])
    assert found.payload == b'{"a":1}'
    assert found.headers() == {"alg": "ES256", "typ": "at+jwt", "kid": keys.current(NOW).kid}
    assert "d" not in msgspec.json.decode(keys.jwks(NOW))["keys"][0]


def test_what_is_not_signed_by_it(tmp_path: Path) -> None:
    key = SigningKeys(tmp_path).current(NOW)
    text = key.sign(b"{}")
    assert is_signed(key, text)
    other = SigningKeys(tmp_path / "other").current(NOW)
    assert not is_signed(other, text)
    # 64 bytes leave four bits of the last character unused: other characters mean the same bytes.
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = text[:-1] + alphabet[alphabet.index(text[-1]) + 1 :][:1]
    for forged in (text[:-1], text + b"A", text + b"=", twin, text[:-4], text[: text.rindex(b".") + 1], b"a." + text):
        assert not is_signed(key, forged), forged


def test_a_rotation(tmp_path: Path) -> None:
    keys, other = SigningKeys(tmp_path), SigningKeys(tmp_path)
    old = keys.current(NOW)
    other.refresh()
    text = other.current(NOW).sign(b"{}")
    new = keys.rotate(NOW + 10)
    assert new.kid != old.kid
    assert keys.current(NOW + 10).kid == new.kid
    assert other.refresh()
    assert other.current(NOW + 10).kid == new.kid
    assert published(other) == [new.kid, old.kid]
    found = other.find(old.header)
    assert found is not None
    assert is_signed(found, text)
    assert not found.key.is_private
    assert b'"d"' not in old.path.read_bytes()
    assert found.until is not None
    assert found.until >= NOW + 10 + LONGEST_S
    assert found.vouches_for(found.until)
    assert not found.vouches_for(found.until + 1)
    assert new.vouches_for(found.until + 1)
    assert published(other, found.until) == [new.kid]
    keys.rotate(found.until)
    assert len(keys.all()) == 2
    assert not old.path.exists()


def test_a_withdrawal(tmp_path: Path) -> None:
    keys, other = SigningKeys(tmp_path), SigningKeys(tmp_path)
    old = keys.current(NOW)
    other.refresh()
    new = keys.rotate(NOW, withdraw=True)
    assert other.refresh()
    assert other.find(old.header) is None
    assert published(other) == [new.kid]


def test_a_new_key_is_found_without_a_refresh(tmp_path: Path) -> None:
    keys, other = SigningKeys(tmp_path), SigningKeys(tmp_path)
    keys.current(NOW)
    other.refresh()
    assert other.find(keys.rotate(NOW).header) is not None


def _make(directory: Path, kids: list[str]) -> None:
    kids.append(SigningKeys(directory).current(NOW).kid)


def test_processes_that_start_together_share_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        kids = manager.list()
        makers = [context.Process(target=_make, args=(tmp_path, kids)) for _ in range(3)]
        for maker in makers:
            maker.start()
        for maker in makers:
            maker.join(60)
        assert len(kids) == 3
        assert len(set(kids)) == 1
    assert [path.suffix for path in (tmp_path / "signing").iterdir()].count(".jwk") == 1


def test_a_key_that_others_can_read(tmp_path: Path) -> None:
    keys = SigningKeys(tmp_path)
    keys.current(NOW).path.chmod(0o640)
    with pytest.raises(UnusableSigningKeys, match="chmod 600"):
        SigningKeys(tmp_path).refresh()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"made_at":1,"jwk":{}}',
        b'{"made_at":1,"jwk":{"kty":"oct","k":"AAAA"}}',
        msgspec.json.encode({"made_at": 1, "jwk": ECKey.generate_key("P-384").as_dict(private=True)}),
        msgspec.json.encode({"made_at": 1, "jwk": ECKey.generate_key("P-256").as_dict(private=False)}),
    ],
)
def test_a_file_that_holds_no_key(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "signing").mkdir()
    file = tmp_path / "signing" / "1.jwk"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(UnusableSigningKeys, match="holds no key"):
        SigningKeys(tmp_path).refresh()


def test_a_directory_that_goes(tmp_path: Path) -> None:
    keys = SigningKeys(tmp_path)
    old = keys.current(NOW)
    for path in (tmp_path / "signing").iterdir():
        path.unlink()
    (tmp_path / "signing").rmdir()
    assert keys.refresh()
    assert not keys.is_ready
    assert keys.current(NOW).kid != old.kid


def test_a_place_that_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "signing").write_bytes(b"")
    with pytest.raises(UnusableSigningKeys):
        SigningKeys(tmp_path).current(NOW)


def test_no_private_key_is_printed(tmp_path: Path) -> None:
    key = SigningKeys(tmp_path).current(NOW)
    stored = msgspec.json.decode(key.path.read_bytes(), type=_Stored)
    assert stored.jwk["d"]
    assert stored.jwk["d"] not in repr(stored) + repr(key)
