"""`/admin/v1/admin-keys`: who may use this API."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import Router, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta, Struct

from gatewright.control.admin.parameters import PLAIN, needs, responses
from gatewright.control.admin.services import Acting, Services
from gatewright.control.admin_keys import MAX_NAME_CHARACTERS, AdminKey, Role
from gatewright.control.key_rules import LATEST

KeyId = Annotated[str, PathParameter(pattern=r"^[a-z0-9]{1,32}$", description="The id of an admin key.")]


class NewAdminKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An admin key that is to be made."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARACTERS, pattern=PLAIN)]
    """Who or what will hold it; the audit log names it."""
    role: Role
    """What it may do."""
    expires_at: Annotated[int, Meta(ge=0, le=LATEST)] | None = None
    """From when on it is refused, in Unix seconds; default never."""


class MadeAdminKey(Struct, frozen=True):
    """A new admin key. Its text is shown this once."""

    admin_key: AdminKey
    """What is kept of it."""
    key: str
    """The key itself: `Authorization: Bearer <key>`."""


class AdminKeyList(Struct, frozen=True):
    """All admin keys."""

    items: list[AdminKey]
    """The newest first."""


@get("/", operation_id="listAdminKeys", summary="List the admin keys", responses=responses(), sync_to_thread=True)
def list_admin_keys(services: Services) -> AdminKeyList:
    """Every key with its role, revoked and expired ones too; secrets are not kept."""
    return AdminKeyList(services.admin_keys.list())


@post(
    "/",
    operation_id="createAdminKey",
    summary="Make an admin key",
    responses=responses(409, 413),
    sync_to_thread=True,
)
def create_admin_key(services: Services, actor: Acting, data: JSONBody[NewAdminKey]) -> MadeAdminKey:
    """The key is in this answer and nowhere else. With an `Idempotency-Key` a lost answer can be asked for again, for
    ten minutes."""
    key, text = services.admin_keys.create(actor, data.name, data.role, data.expires_at)
    return MadeAdminKey(key, text)


@post(
    "/{key_id:str}/revoke",
    operation_id="revokeAdminKey",
    summary="Revoke an admin key",
    responses=responses(404, 409),
    status_code=200,
    sync_to_thread=True,
)
def revoke_admin_key(services: Services, actor: Acting, key_id: KeyId) -> AdminKey:
    """Refused from now on, for good. The last key with the role admin cannot be revoked here."""
    return services.admin_keys.revoke(actor, key_id)


ROUTER: Final = Router(
    "/admin-keys",
    route_handlers=[list_admin_keys, create_admin_key, revoke_admin_key],
    guards=[needs(Role.ADMIN)],
    tags=["admin keys"],
)
