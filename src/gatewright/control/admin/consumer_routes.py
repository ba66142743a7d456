"""`/admin/v1/consumers`: what is kept about consumers beyond their keys."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Router, delete, get, patch, post
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET, Meta, Struct, UnsetType

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
from gatewright.control.consumers import ManagedConsumer

_PART: Final = r"^[A-Za-z0-9._-]{1,128}$"
_PATH: Final = "/{organisation:str}/{team:str}/{application:str}"
Organisation = Annotated[str, PathParameter(pattern=_PART, description="The first part of the consumer's path.")]
Team = Annotated[str, PathParameter(pattern=_PART, description="The second part of the consumer's path.")]
Application = Annotated[str, PathParameter(pattern=_PART, description="The last part of the consumer's path.")]
Name = Annotated[str, Meta(max_length=200, pattern=PLAIN)]


class NewConsumer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A consumer that is to be kept."""

    path: Annotated[str, Meta(max_length=600)]
    """`organisation/team/application`."""
    name: Name = ""
    """What people call it."""
    details: dict[str, Any] = {}
    """Whatever its administrators want to know of it (an owner, a cost centre); the gateway reads none of it."""


class ChangedConsumer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change of a consumer; what is left out stays."""

    name: Name | UnsetType = UNSET
    """What people call it."""
    details: dict[str, Any] | UnsetType = UNSET
    """The details, as a whole."""


class ConsumerItems(Struct, frozen=True):
    """Some consumers."""

    items: list[ManagedConsumer]
    """By path."""
    next_cursor: str | None
    """For the next page; null on the last."""


@get("/", operation_id="listConsumers", summary="List consumers", responses=responses(), sync_to_thread=True)
def list_consumers(
    services: Services,
    search: Annotated[str, text(600, "How the path begins: `acme/search/`.")] = "",
    limit: Limit = 50,
    cursor: Cursor = "",
) -> ConsumerItems:
    """Consumers that are kept here. One of the configuration, or one that only has keys, need not be among them."""
    after = parse_cursor(cursor, str) or ""
    page = services.consumers.list(search=search, after=after, limit=limit)
    return ConsumerItems(page.consumers, render_cursor(page.after) if page.after else None)


@post(
    "/",
    operation_id="createConsumer",
    summary="Keep a consumer",
    guards=[needs(Role.OPERATOR)],
    responses=responses(409, 413),
    sync_to_thread=True,
)
def create_consumer(services: Services, actor: Acting, data: JSONBody[NewConsumer]) -> ManagedConsumer:
    """Gives it a name and details, and lets all its keys be suspended at once."""
    return services.consumers.create(actor, data.path, name=data.name, details=data.details)


@get(_PATH, operation_id="getConsumer", summary="Read a consumer", responses=responses(404), sync_to_thread=True)
def get_consumer(
    services: Services, organisation: Organisation, team: Team, application: Application
) -> ManagedConsumer:
    """One consumer."""
    return services.consumers.get(f"{organisation}/{team}/{application}")


@patch(
    _PATH,
    operation_id="changeConsumer",
    summary="Change a consumer",
    guards=[needs(Role.OPERATOR)],
    responses=responses(404, 413),
    sync_to_thread=True,
)
def change_consumer(
    services: Services,
    actor: Acting,
    organisation: Organisation,
    team: Team,
    application: Application,
    data: JSONBody[ChangedConsumer],
) -> ManagedConsumer:
    """Its name or details."""
    path = f"{organisation}/{team}/{application}"
    return services.consumers.change(actor, path, name=data.name, details=data.details)


@delete(
    _PATH,
    operation_id="deleteConsumer",
    summary="Remove a consumer",
    guards=[needs(Role.OPERATOR)],
    responses=responses(404),
    sync_to_thread=True,
)
def delete_consumer(
    services: Services, actor: Acting, organisation: Organisation, team: Team, application: Application
) -> None:
    """Revokes all its keys as well. What it used stays in the ledger."""
    services.consumers.delete(actor, f"{organisation}/{team}/{application}")


@post(
    f"{_PATH}/suspend",
    operation_id="suspendConsumer",
    summary="Suspend a consumer",
    guards=[needs(Role.OPERATOR)],
    responses=responses(404),
    status_code=200,
    sync_to_thread=True,
)
def suspend_consumer(
    services: Services, actor: Acting, organisation: Organisation, team: Team, application: Application
) -> ManagedConsumer:
    """All its keys are refused until it is resumed."""
    return services.consumers.suspend(actor, f"{organisation}/{team}/{application}")


@post(
    f"{_PATH}/resume",
    operation_id="resumeConsumer",
    summary="Resume a consumer",
    guards=[needs(Role.OPERATOR)],
    responses=responses(404),
    status_code=200,
    sync_to_thread=True,
)
def resume_consumer(
    services: Services, actor: Acting, organisation: Organisation, team: Team, application: Application
) -> ManagedConsumer:
    """Undoes a suspension; keys that are suspended themselves stay so."""
    return services.consumers.resume(actor, f"{organisation}/{team}/{application}")


ROUTER: Final = Router(
    "/consumers",
    route_handlers=[
        list_consumers,
        create_consumer,
        get_consumer,
        change_consumer,
        delete_consumer,
        suspend_consumer,
        resume_consumer,
    ],
    guards=[needs(Role.VIEWER)],
    tags=["consumers"],
)
