"""What the tests of gateway tokens share: a worker's tokens over a state directory, with keys in a real table."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from gatewright.config.gateway_tokens import GatewayTokens
from gatewright.core.consumer import Consumer, Scopes
from gatewright.core.keys import KeyRecord, digest_of, make_key
from gatewright.pipeline.access import Access
from gatewright.pipeline.snapshot import Snapshot
from gatewright.server.issued_tokens import IssuedTokens
from gatewright.store.key_table import DIRECTORY, KeyReader, KeyTable
from gatewright.testing.clock import FakeClock
from gatewright.testing.gateway import key_hash

NOW = 1_800_000_000.0
URL = "https://ai.acme.example"
SECRET = b"s" * 32
CONFIGURED = "configured-key"
PATH = "acme/search/indexer"


class KeySetting:
    """A gateway's key table, as control writes it."""

    def __init__(self, state: Path) -> None:
        self._table = KeyTable(state / DIRECTORY)
        self._seed = 0

    def add(self, **record: Any) -> str:
        """A new key of PATH."""
        self._seed += 1
        key_id, text = make_key(lambda count: bytes([self._seed + place for place in range(count)]))
        self.put(text, **({"id": key_id, "consumer": PATH} | record))
        return text

    def put(self, key: str, **record: Any) -> None:
        self._table.write(lambda writing: writing.put(digest_of(key.encode(), SECRET), KeyRecord(**record)))

    def change(self, key: str, **changes: Any) -> None:
        digest = digest_of(key.encode(), SECRET)
        record = msgspec.structs.replace(self._table.items()[digest], **changes)
        self._table.write(lambda writing: writing.put(digest, record))

    def delete(self, key: str) -> None:
        self._table.write(lambda writing: writing.delete(digest_of(key.encode(), SECRET)))

    def close(self) -> None:
        self._table.close()


def snapshot(keys: tuple[str, ...] = (CONFIGURED,), issuers: tuple[str, ...] = ("corp",)) -> Snapshot:
    """As much of one as is looked at."""
    held = {bytes.fromhex(key_hash(key)[7:]): Consumer(PATH) for key in keys}
    found = Snapshot.__new__(Snapshot)
    found._keys = held
    found.document = cast(Any, SimpleNamespace(identity=SimpleNamespace(issuers=dict.fromkeys(issuers))))
    found.access = Access()
    return found


class TokenWorld:
    """The tokens of one worker."""

    def __init__(self, state: Path, **config: Any) -> None:
        self.state = state
        self.clock = FakeClock(NOW)
        self.settings = KeySetting(state)
        self.reader = KeyReader(state / DIRECTORY)
        self.tokens = IssuedTokens(state, self.reader, SECRET, self.clock)
        self.config = GatewayTokens(**({"issuer": URL} | config))
        self.tokens.use(self.config, snapshot())

    def refresh(self) -> None:
        """What a worker does 20 times a second."""
        self.reader.refresh()
        self.tokens.tick()

    def close(self) -> None:
        self.tokens.close()
        self.reader.close()
        self.settings.close()


NARROW = Scopes(models=("gpt-*",), networks=("192.0.2.0/24",))
