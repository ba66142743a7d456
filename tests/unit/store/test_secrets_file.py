import os
import threading
from pathlib import Path

import pytest

from gatewright.store.secrets_file import UnusableSecret, fingerprint, read_or_create_secret, read_secret


def test_the_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"
    assert read_secret(state) is None
    secret = read_or_create_secret(state)
    assert len(secret) == 32
    assert read_or_create_secret(state) == read_secret(state) == secret
    assert (state / "secret").stat().st_mode & 0o777 == 0o600
    assert os.listdir(state) == ["secret"]
    assert read_or_create_secret(tmp_path / "other") != secret


def test_who_starts_at_the_same_time_gets_the_same_secret(tmp_path: Path) -> None:
    barrier, found = threading.Barrier(8), []

    def start() -> None:
        barrier.wait()
        found.append(read_or_create_secret(tmp_path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (b"", 0o600, "does not hold 32 bytes"),
        (b"x" * 31, 0o600, "does not hold 32 bytes"),
        (b"x" * 33, 0o600, "does not hold 32 bytes"),
        (b"x" * 32, 0o660, "chmod 600"),
        (b"x" * 32, 0o604, "chmod 600"),
    ],
)
def test_a_secret_that_cannot_be_used_is_refused_and_kept(tmp_path: Path, content: bytes, mode: int, says: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(UnusableSecret, match=says) as refused:
        read_or_create_secret(tmp_path)
    assert path.read_bytes() == content
    assert "xxxx" not in str(refused.value)


def test_a_place_where_nothing_can_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableSecret, match="cannot be"):
        read_or_create_secret(tmp_path / "file")
    (tmp_path / "state" / "secret").mkdir(parents=True)
    with pytest.raises(UnusableSecret, match="cannot be read"):
        read_or_create_secret(tmp_path / "state")


def test_fingerprints_tell_secrets_apart_and_fit_into_a_column() -> None:
    secrets = [os.urandom(32) for _ in range(100)]
    assert len({fingerprint(secret) for secret in secrets}) == 100
    assert all(0 <= fingerprint(secret) < 1 << 63 for secret in secrets)
