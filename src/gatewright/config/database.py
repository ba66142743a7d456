"""Where the ledger and what is administered are kept: a document of the configuration."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gatewright.core.secret import Secret


class Database(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The control plane's database: keys, budgets, audit and ledger. Workers never touch it."""

    url: Secret | None = None
    """`postgresql://USER:PASSWORD@HOST/NAME`, usually as a reference: `${env:DATABASE_URL}`. Needs the extra
    `gatewright[postgres]`. Without it a SQLite file, `gatewright.db` in the state directory, holds everything."""
    pool_size: Annotated[int, Meta(ge=1, le=100)] = 5
    """Open connections of the control process at most."""
    statement_timeout_s: Annotated[float, Meta(gt=0, le=3_600)] = 30.0
    """A statement that takes longer is ended, and so is waiting for another's lock."""
