"""`/admin/v1/configuration`: what the gateway is to serve, and its versions."""

from __future__ import annotations

import re
from typing import Annotated, Final

from litestar import Response, Router, get, post
from litestar.datastructures import ResponseHeader
from litestar.params import HeaderParameter, JSONBody, PathParameter, QueryParameter
from msgspec import Meta, Struct

from gatewright.control.admin.parameters import (
    PLAIN,
    Cursor,
    Limit,
    cut,
    needs,
    parse_cursor,
    responses,
)
from gatewright.control.admin.problems import Problem, Reason, reasons_of
from gatewright.control.admin.services import Acting, Services
from gatewright.control.admin_keys import Role
from gatewright.control.configurations import Active, Version

MAX_DOCUMENT_CHARACTERS: Final = 7 * 1024 * 1024
_MAX_VERSION: Final = 2**31 - 1
_ETAG: Final = re.compile(r'\s*"([0-9]{1,10})"\s*')

Number = Annotated[int, PathParameter(ge=1, le=_MAX_VERSION, description="The number of a version.")]
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="if-match",
        max_length=100,
        description='The `ETag` of the active configuration as it was read: `"3"`. Instead of `expected_version`.',
    ),
]
Expected = Annotated[int, Meta(ge=0, le=_MAX_VERSION)]


_ETAG_HEADER: Final = ResponseHeader(
    name="etag", description="The active version, for `If-Match`.", documentation_only=True
)


class Candidate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A configuration that is to be checked."""

    document: Annotated[str, Meta(max_length=MAX_DOCUMENT_CHARACTERS)]
    """The whole configuration as YAML (JSON is YAML too), secrets as references."""


class NewVersion(Candidate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A configuration that is to be served."""

    expected_version: Expected | None = None
    """The version that was active when this one was written, 0 before the first; or send it as `If-Match`."""
    note: Annotated[str, Meta(max_length=400, pattern=PLAIN)] = ""
    """Why, for whoever reads the list of versions."""


class Rollback(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which version is to be served again."""

    version: Annotated[int, Meta(ge=1, le=_MAX_VERSION)]
    """Its number."""
    expected_version: Expected | None = None
    """The version that is active now; or send it as `If-Match`."""


class Findings(Struct, frozen=True):
    """What there is to say about a configuration."""

    ok: bool
    """Whether it could be served."""
    errors: list[Reason]
    """Everything that is wrong, by line."""
    warnings: list[Reason]
    """What is allowed but hardly meant."""


class VersionPage(Struct, frozen=True):
    """Some versions."""

    items: list[Version]
    """The newest first."""
    next_cursor: str | None
    """For the next page; null on the last."""


class VersionText(Struct, frozen=True):
    """A version with its text."""

    version: Version
    """What is known of it."""
    document: str
    """Its text, with references as they were written."""


class Difference(Struct, frozen=True):
    """What changed between two versions."""

    old: int
    """The number of the one."""
    new: int
    """The number of the other."""
    diff: str
    """A unified diff; empty when they are the same."""


@get(
    "/",
    operation_id="getConfiguration",
    summary="Read the active configuration",
    responses=responses(),
    response_headers=[_ETAG_HEADER],
    sync_to_thread=True,
)
def get_configuration(services: Services) -> Response[Active]:
    """Where it comes from, its version and its text. References stand as they were written; no secret is resolved."""
    active = services.configurations.active()
    return Response(active, headers={"etag": f'"{active.version}"'})


@post(
    "/validate",
    operation_id="validateConfiguration",
    summary="Check a configuration",
    guards=[needs(Role.ADMIN)],
    responses=responses(413),
    status_code=200,
    sync_to_thread=True,
)
def validate_configuration(services: Services, data: JSONBody[Candidate]) -> Findings:
    """Everything that is wrong with it, each with its path and line; nothing changes. References are resolved where the
    gateway runs, so this needs the role admin."""
    verdict = services.configurations.validate(data.document)
    return Findings(not verdict.errors, reasons_of(verdict.errors), reasons_of(verdict.warnings))


@get(
    "/versions",
    operation_id="listConfigurationVersions",
    summary="List the versions",
    responses=responses(),
    sync_to_thread=True,
)
def list_versions(services: Services, limit: Limit = 50, cursor: Cursor = "") -> VersionPage:
    """Every configuration that was applied here, without its text."""
    found = services.configurations.versions(before=parse_cursor(cursor, int), limit=limit + 1)
    return VersionPage(*cut(found, limit, lambda version: version.version))


@get(
    "/versions/{version:int}",
    operation_id="getConfigurationVersion",
    summary="Read a version",
    responses=responses(404),
    sync_to_thread=True,
)
def get_version(services: Services, version: Number) -> VersionText:
    """A version and its text."""
    return VersionText(*services.configurations.get(version))


@post(
    "/versions",
    operation_id="applyConfiguration",
    summary="Apply a configuration",
    guards=[needs(Role.ADMIN)],
    responses=responses(404, 409, 412, 413, 428),
    sync_to_thread=True,
)
def apply_configuration(
    services: Services, actor: Acting, data: JSONBody[NewVersion], if_match: IfMatch = None
) -> Version:
    """Checked like a file, stored as a new version, and served. 409 where the gateway was started with files: then
    these are the truth, and are changed where they are kept."""
    expected = _expected(data.expected_version, if_match)
    return services.configurations.apply(actor, data.document, expected=expected, note=data.note)


@post(
    "/rollback",
    operation_id="rollBackConfiguration",
    summary="Apply an earlier version again",
    guards=[needs(Role.ADMIN)],
    responses=responses(404, 409, 412, 413, 428),
    status_code=201,
    sync_to_thread=True,
)
def roll_back(services: Services, actor: Acting, data: JSONBody[Rollback], if_match: IfMatch = None) -> Version:
    """It becomes a new version, so the list tells what was served when."""
    expected = _expected(data.expected_version, if_match)
    return services.configurations.roll_back(actor, data.version, expected=expected)


@get(
    "/diff",
    operation_id="compareConfigurationVersions",
    summary="Compare two versions",
    responses=responses(404),
    sync_to_thread=True,
)
def compare(
    services: Services,
    old: Annotated[int, QueryParameter(ge=0, le=_MAX_VERSION, description="The number of the one; 0 is empty.")],
    new: Annotated[int, QueryParameter(ge=0, le=_MAX_VERSION, description="The number of the other; 0 is empty.")],
) -> Difference:
    """A unified diff of their texts."""
    return Difference(old, new, services.configurations.diff(old, new))


ROUTER: Final = Router(
    "/configuration",
    route_handlers=[
        get_configuration,
        validate_configuration,
        list_versions,
        get_version,
        apply_configuration,
        roll_back,
        compare,
    ],
    guards=[needs(Role.VIEWER)],
    tags=["configuration"],
)


def _expected(given: int | None, if_match: str | None) -> int:
    if if_match is None:
        if given is None:
            raise Problem("precondition-required", "send `expected_version`, or the ETag that was read as `If-Match`")
        return given
    form = _ETAG.fullmatch(if_match)
    if form is None:
        raise Problem("unacceptable", 'If-Match is the ETag of the active configuration, such as "3"')
    if given is not None and given != int(form[1]):
        raise Problem("unacceptable", "`expected_version` and `If-Match` differ; send one of them")
    return int(form[1])
