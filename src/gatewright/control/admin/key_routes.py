"""`/admin/v1/keys`: API keys of consumers."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import Router, get, patch, post
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import UNSET, Meta, Struct, UnsetType, field

from gatewright.control.admin.parameters import (
    PLAIN,
    Cursor,
    Limit,
    needs,
    parse_cursor,
    render_cursor,
    responses,
    text,
)
from gatewright.control.admin.services import Acting, Services
from gatewright.control.admin_keys import Role
from gatewright.control.key_rules import LATEST
from gatewright.control.keys import MAX_OVERLAP_S, Key, KeyChange, KeyFilter, State
from gatewright.core.consumer import Scopes

Time = Annotated[int, Meta(ge=0, le=LATEST)]
Names = Annotated[list[str], Meta(min_length=1)]
KeyId = Annotated[
    str, PathParameter(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The id of a key, or how it begins (`prefix`).")
]


class KeyScopes(Struct, frozen=True, forbid_unknown_fields=True):
    """What a key is narrowed to; an empty list does not narrow."""

    models: list[str] = []
    """Published model names, or patterns with a trailing `*`."""
    surfaces: list[str] = []
    """Names of surfaces (`chat_completions`)."""
    networks: list[str] = []
    """Client addresses, as CIDR ranges."""


class NewKeyScopes(Struct, frozen=True, forbid_unknown_fields=True):
    """What a key that is to be made is narrowed to. A list that is left out does not narrow; none may be empty."""

    models: Names | UnsetType = UNSET
    """Published model names, or patterns with a trailing `*`."""
    surfaces: Names | UnsetType = UNSET
    """Names of surfaces (`chat_completions`)."""
    networks: Names | UnsetType = UNSET
    """Client addresses, as CIDR ranges."""


class NewKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that is to be made."""

    consumer: Annotated[str, Meta(max_length=600)]
    """Whose it is: `organisation/team/application`."""
    name: Annotated[str, Meta(max_length=200, pattern=PLAIN)] = ""
    """What people call it."""
    scopes: NewKeyScopes = field(default_factory=NewKeyScopes)
    """What it is narrowed to; default is not at all."""
    expires_at: Time | None = None
    """From when on it is refused, in Unix seconds; default never."""


class ChangedKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change of a key; what is left out stays."""

    name: Annotated[str, Meta(max_length=200, pattern=PLAIN)] | UnsetType = UNSET
    """What people call it."""
    scopes: KeyScopes | UnsetType = UNSET
    """What it is narrowed to, as a whole."""
    expires_at: Time | UnsetType | None = UNSET
    """From when on it is refused, in Unix seconds; null for never."""


class KeyRotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a key is replaced."""

    overlap_s: Annotated[int, Meta(ge=0, le=MAX_OVERLAP_S)] = 3_600
    """For how long the old key holds beside the new one."""
    expires_at: Time | UnsetType | None = UNSET
    """When the new key expires; default is a life as long as the old one's."""


class ShownKey(Struct, frozen=True):
    """A new key. Its text is shown this once."""

    key: Key
    """What is kept of it."""
    text: str
    """The key itself, for the application."""


class KeyItems(Struct, frozen=True):
    """Some keys."""

    items: list[Key]
    """The newest first."""
    next_cursor: str | None
    """For the next page; null on the last."""


@get("/", operation_id="listKeys", summary="List keys", responses=responses(), sync_to_thread=True)
def list_keys(
    services: Services,
    consumer: Annotated[str, text(600, "A consumer's path, or all below one: `acme/*`.")] = "",
    search: Annotated[
        str,
        text(600, "What a name holds, or how an id or consumer begins."),
    ] = "",
    state_: Annotated[State | None, QueryParameter(name="state", description="Only keys in this state.")] = None,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> KeyItems:
    """Keys without their secrets, which are kept nowhere."""
    chosen = KeyFilter(consumer=consumer, search=search, state=state_)
    page = services.keys.list(chosen, after=parse_cursor(cursor, str), limit=limit)
    return KeyItems(page.keys, render_cursor(page.after) if page.after else None)


@get("/{key_id:str}", operation_id="getKey", summary="Read a key", responses=responses(404), sync_to_thread=True)
def get_key(services: Services, key_id: KeyId) -> Key:
    """One key, by its id or by how it begins."""
    return services.keys.get(key_id)


@post(
    "/",
    operation_id="createKey",
    summary="Make a key",
    guards=[needs(Role.OPERATOR)],
    responses=responses(409, 413),
    sync_to_thread=True,
)
def create_key(services: Services, actor: Acting, data: JSONBody[NewKey]) -> ShownKey:
    """The key's text is in this answer and nowhere else. Every worker knows the key within a second. With an
    `Idempotency-Key` a lost answer can be asked for again, for ten minutes."""
    made = services.keys.create(
        actor, data.consumer, name=data.name, scopes=_scopes(data.scopes), expires_at=data.expires_at
    )
    return ShownKey(made.key, made.text)


@patch(
    "/{key_id:str}",
    operation_id="changeKey",
    summary="Change a key",
    guards=[needs(Role.OPERATOR)],
    responses=responses(404, 409, 413),
    sync_to_thread=True,
)
def change_key(services: Services, actor: Acting, key_id: KeyId, data: JSONBody[ChangedKey]) -> Key:
    """Its name, scopes or expiry."""
    scopes = UNSET if data.scopes is UNSET else _scopes(data.scopes)
    return services.keys.change(actor, key_id, KeyChange(name=data.name, scopes=scopes, expires_at=data.expires_at))


@post(
    "/{key_id:str}/suspend",
    operation_id="suspendKey",
    summary="Suspend a key",
    guards=[needs(Role.OPERATOR)],
    responses=responses(404, 409),
    status_code=200,
    sync_to_thread=True,
)
def suspend_key(services: Services, actor: Acting, key_id: KeyId) -> Key:
    """Refused until it is resumed."""
    return services.keys.suspend(actor, key_id)


@post(
    "/{key_id:str}/resume",
    operation_id="resumeKey",
    summary="Resume a key",
    guards=[needs(Role.OPERATOR)],
    responses=responses(404, 409),
    status_code=200,
    sync_to_thread=True,
)
def resume_key(services: Services, actor: Acting, key_id: KeyId) -> Key:
    """Undoes a suspension of this key; one of its consumer stays."""
    return services.keys.resume(actor, key_id)


@post(
    "/{key_id:str}/revoke",
    operation_id="revokeKey",
    summary="Revoke a key",
    guards=[needs(Role.OPERATOR)],
    responses=responses(404),
    status_code=200,
    sync_to_thread=True,
)
def revoke_key(services: Services, actor: Acting, key_id: KeyId) -> Key:
    """Refused for good, by every worker within a second."""
    return services.keys.revoke(actor, key_id)


@post(
    "/{key_id:str}/rotate",
    operation_id="rotateKey",
    summary="Replace a key",
    guards=[needs(Role.OPERATOR)],
    responses=responses(404, 409, 413),
    sync_to_thread=True,
)
def rotate_key(services: Services, actor: Acting, key_id: KeyId, data: JSONBody[KeyRotation]) -> ShownKey:
    """Makes a key like it. Both hold for the overlap, then the old one ends."""
    made = services.keys.rotate(actor, key_id, overlap_s=data.overlap_s, expires_at=data.expires_at)
    return ShownKey(made.key, made.text)


ROUTER: Final = Router(
    "/keys",
    route_handlers=[list_keys, get_key, create_key, change_key, suspend_key, resume_key, revoke_key, rotate_key],
    guards=[needs(Role.VIEWER)],
    tags=["keys"],
)


def _scopes(scopes: NewKeyScopes | KeyScopes) -> Scopes:
    return Scopes(tuple(scopes.models or ()), tuple(scopes.surfaces or ()), tuple(scopes.networks or ()))
