"""The admin API put together: resources, OpenAPI, failures, and the gate before all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from litestar import Litestar, Request, Response, Router, get
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ASGIApp

from gatewright import __version__
from gatewright.control.actor import Actor
from gatewright.control.admin import (
    admin_key_routes,
    audit_routes,
    budget_routes,
    configuration_routes,
    consumer_routes,
    exchange_routes,
    key_routes,
    ledger_routes,
    usage_routes,
)
from gatewright.control.admin.gate import PREFIX, Gate
from gatewright.control.admin.hosts import AllowedHosts
from gatewright.control.admin.openapi import describe
from gatewright.control.admin.parameters import only_known_query
from gatewright.control.admin.problems import Reporter
from gatewright.control.admin.services import AdminServices
from gatewright.telemetry.log import Log

RESOURCES: Final = (
    consumer_routes.ROUTER,
    key_routes.ROUTER,
    budget_routes.ROUTER,
    usage_routes.ROUTER,
    exchange_routes.ROUTER,
    ledger_routes.ROUTER,
    audit_routes.ROUTER,
    configuration_routes.ROUTER,
    admin_key_routes.ROUTER,
)
"""Every resource, in the order of the documentation."""

_DESCRIPTION: Final = """\
What the gateway knows and what may be changed while it runs. Every request shows an admin key as a bearer; its role
says what it may do: a viewer reads, an operator changes consumers, keys and budgets, an admin the configuration and the
admin keys. Every change is written down in the audit log. Failures are `application/problem+json` (RFC 9457).
"""


def build_admin(services: AdminServices) -> ASGIApp:
    """The admin API as an ASGI application, for the paths under `/admin`."""
    reporter = Reporter(services.log)
    app = build_resources(lambda: services, reporter)
    hosts = AllowedHosts(services.allowed_hosts)
    return Gate(app, services.admin_keys, hosts, reporter, services.monotonic)


def openapi_document() -> dict[str, Any]:
    """This API in the words of OpenAPI 3.1, without one that serves."""
    return describe(build_resources(_no_services, Reporter(Log("control"))))


def _no_services() -> AdminServices:
    raise LookupError("an API that is only described has no services")


def build_resources(services: Callable[[], AdminServices], reporter: Reporter) -> Litestar:
    """The resources alone; whoever calls them is let in, and stands in the scope's state as `actor`."""
    rendered: dict[str, Any] = {}

    @get("/admin/openapi.json", include_in_schema=False, sync_to_thread=True)
    def openapi(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        """This API in the words of OpenAPI 3.1."""
        if not rendered:
            rendered.update(describe(request.app))
        return Response(rendered)

    def actor(request: Request[Any, Any, Any]) -> Actor:
        found: Actor = request.scope["state"]["actor"]
        return found

    api = Router(
        f"{PREFIX}/v1",
        route_handlers=list(RESOURCES),
        guards=[only_known_query],
        dependencies={
            "services": Provide(services, sync_to_thread=False),
            "actor": Provide(actor, sync_to_thread=False),
        },
        security=[{"adminKey": []}],
    )
    return Litestar(
        [api, openapi],
        openapi_config=OpenAPIConfig(
            title="Gatewright admin API",
            version=__version__,
            description=_DESCRIPTION,
            use_handler_docstrings=True,
            # Its pages lie beside `/admin`, where nobody comes; what goes out has the words of the sources too.
            render_plugins=[JsonRenderPlugin()],
            components=Components(
                security_schemes={
                    "adminKey": SecurityScheme(
                        type="http",
                        scheme="bearer",
                        description="An admin key: `gatewright admin-keys create` makes one.",
                    )
                }
            ),
        ),
        logging_config=None,
        exception_handlers={Exception: reporter.respond},
        request_max_body_size=None,
    )
