"""`/admin/v1/budgets`: budgets that are kept here, beside those of the configuration."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from litestar import Response, Router, delete, get, post, put
from litestar.datastructures import ResponseHeader
from litestar.params import HeaderParameter, JSONBody, PathParameter
from msgspec import Meta, Struct, field

from gatewright.config.documents import Selector
from gatewright.control.admin.parameters import (
    Cursor,
    Limit,
    cut,
    needs,
    parse_cursor,
    responses,
)
from gatewright.control.admin.problems import Problem
from gatewright.control.admin.services import Acting, AdminServices, Services
from gatewright.control.admin_keys import Role
from gatewright.control.budgets import BudgetPolicy, BudgetSpending, ManagedBudget

NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
Name = Annotated[str, PathParameter(pattern=NAME_PATTERN, description="The name of a budget.")]
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="if-match",
        max_length=1_000,
        description="The `ETag` of the budget as it was read. If it is another by now, nothing changes (412).",
    ),
]
_ETAG_HEADER: Final = ResponseHeader(
    name="etag", description="What the budget is, for `If-Match`.", documentation_only=True
)
_TAG: Final = r'(?:W/)?"[\x21\x23-\x7e]*"'
_TAGS: Final = re.compile(rf"\s*{_TAG}(?:\s*,\s*{_TAG})*\s*")


class BudgetDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a budget is."""

    config: dict[str, Any]
    """The settings of the filter `budget`. `webhook` is a reference, as in `${env:BUDGET_HOOK}`, and needs the role
    admin; nothing else holds one."""
    on: Selector = field(default_factory=Selector)
    """What it applies to; default is every exchange."""


class NewBudget(BudgetDocument, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A budget that is to be made."""

    name: Annotated[str, Meta(pattern=NAME_PATTERN)]
    """Under which its spending is kept; a name that was used before goes on with what was spent under it."""


class BudgetView(Struct, frozen=True):
    """A budget, and how much of it is used."""

    name: str
    """Under which its spending is kept."""
    on: Selector
    """What it applies to."""
    config: dict[str, Any]
    """The settings of the filter `budget`."""
    changed_at: int
    """When it was made or changed last, in Unix seconds."""
    state: list[BudgetSpending] | None
    """Who has used how much of it in the present window; null where the counters cannot tell. A budget by end user, key
    or expression tells after a restart of whoever uses it again."""


class BudgetPage(Struct, frozen=True):
    """Some budgets."""

    items: list[BudgetView]
    """By name."""
    next_cursor: str | None
    """For the next page; null on the last."""


@get("/", operation_id="listBudgets", summary="List the budgets kept here", responses=responses(), sync_to_thread=True)
def list_budgets(services: Services, limit: Limit = 50, cursor: Cursor = "") -> BudgetPage:
    """Budgets of the configuration are not among them: read those there."""
    found = services.budgets.list(after=parse_cursor(cursor, str) or "", limit=limit + 1)
    page, more = cut(found, limit, lambda budget: budget.policy.name)
    return BudgetPage([_view(services, budget) for budget in page], more)


@get(
    "/{name:str}",
    operation_id="getBudget",
    summary="Read a budget",
    responses=responses(404),
    response_headers=[_ETAG_HEADER],
    sync_to_thread=True,
)
def get_budget(services: Services, name: Name) -> Response[BudgetView]:
    """The budget, and how much of it is used."""
    return _answer(services, services.budgets.get(name))


@post(
    "/",
    operation_id="createBudget",
    summary="Make a budget",
    guards=[needs(Role.OPERATOR)],
    responses=responses(409, 413),
    response_headers=[_ETAG_HEADER],
    sync_to_thread=True,
)
def create_budget(services: Services, actor: Acting, data: JSONBody[NewBudget]) -> Response[BudgetView]:
    """It counts from within a second after this on. One with a `webhook` needs the role admin."""
    return _answer(services, services.budgets.create(actor, _policy(data.name, data)))


@put(
    "/{name:str}",
    operation_id="replaceBudget",
    summary="Change a budget",
    guards=[needs(Role.OPERATOR)],
    responses=responses(404, 412, 413),
    response_headers=[_ETAG_HEADER],
    sync_to_thread=True,
)
def replace_budget(
    services: Services, actor: Acting, name: Name, data: JSONBody[BudgetDocument], if_match: IfMatch = None
) -> Response[BudgetView]:
    """Puts this in its place, as a whole. What is spent stays spent. Where this or the budget before has a
    `webhook`, it needs the role admin."""
    replaced = services.budgets.replace(actor, _policy(name, data), expected=_expected(if_match))
    return _answer(services, replaced)


@delete(
    "/{name:str}",
    operation_id="deleteBudget",
    summary="Remove a budget",
    guards=[needs(Role.OPERATOR)],
    responses=responses(404, 412),
    sync_to_thread=True,
)
def delete_budget(services: Services, actor: Acting, name: Name, if_match: IfMatch = None) -> None:
    """Nobody is refused by it any more. One with a `webhook` needs the role admin."""
    services.budgets.delete(actor, name, expected=_expected(if_match))


ROUTER: Final = Router(
    "/budgets",
    route_handlers=[list_budgets, get_budget, create_budget, replace_budget, delete_budget],
    guards=[needs(Role.VIEWER)],
    tags=["budgets"],
)


def _policy(name: str, document: BudgetDocument) -> BudgetPolicy:
    return BudgetPolicy(name=name, on=document.on, config=document.config)


def _expected(if_match: str | None) -> list[str] | None:
    """The revisions that a budget may have (RFC 9110 §13.1.1); None for any."""
    if if_match is None or if_match.strip() == "*":
        return None
    if _TAGS.fullmatch(if_match) is None:
        raise Problem("unacceptable", "If-Match is the ETag of the budget as it was read, in its quotes")
    return [tag.strip('"') for tag in re.findall(_TAG, if_match) if not tag.startswith("W/")]


def _answer(services: AdminServices, budget: ManagedBudget) -> Response[BudgetView]:
    return Response(_view(services, budget), headers={"etag": f'"{budget.revision}"'})


def _view(services: AdminServices, budget: ManagedBudget) -> BudgetView:
    policy = budget.policy
    states = None if services.budget_states is None else services.budget_states()
    state = None if states is None else [BudgetSpending.of(found) for found in states if found.name == policy.name]
    return BudgetView(policy.name, policy.on, policy.config, budget.changed_at, state)
