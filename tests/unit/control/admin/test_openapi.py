"""The document says all there is to know to use the API, in the words of the sources."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.control.admin_api import AdminApi

from gatewright.control.admin.app import openapi_document
from gatewright.control.admin.openapi import EXAMPLES


@pytest.fixture
def document(api: AdminApi) -> dict[str, Any]:
    answer = api.client.get("/admin/openapi.json")
    assert answer.status_code == 200, "it needs no key: it tells nothing of this gateway"
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def test_it_is_openapi_3_1_of_this_api_alone(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert all(path.startswith("/admin/v1/") for path in document["paths"])
    assert document["components"]["securitySchemes"]["adminKey"]["scheme"] == "bearer"


def test_every_operation_is_named_explained_secured_and_tells_its_failures(document: dict[str, Any]) -> None:
    found = operations(document)
    assert len({operation["operationId"] for operation in found}) == len(found)
    for operation in found:
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]
        assert operation["security"] == [{"adminKey": []}]
        assert operation["responses"].keys() >= {"400", "401", "403", "421", "422", "429", "503"}
        for status, answer in operation["responses"].items():
            if status >= "400":
                assert list(answer["content"]) == ["application/problem+json"], operation["operationId"]


def test_every_operation_tells_the_role_it_needs(document: dict[str, Any]) -> None:
    needed = {
        operation["operationId"]: operation["description"].rpartition("Needs the role ")[2].rstrip(".")
        for operation in operations(document)
    }
    assert set(needed.values()) == {"viewer", "operator", "admin"}
    assert (needed["listKeys"], needed["revokeKey"], needed["validateConfiguration"]) == ("viewer", "operator", "admin")
    assert needed["listAdminKeys"] == "admin"


def test_it_is_the_same_without_one_that_serves(document: dict[str, Any]) -> None:
    assert msgspec.json.decode(msgspec.json.encode(openapi_document())) == document


def test_every_parameter_is_explained(document: dict[str, Any]) -> None:
    for operation in operations(document):
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (operation["operationId"], parameter["name"])


def test_bodies_are_explained_bounded_and_closed(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    new_key = schemas["NewKey"]
    assert new_key["description"] == "A key that is to be made."
    assert new_key["additionalProperties"] is False
    assert new_key["properties"]["name"]["maxLength"] == 200
    assert all(member.get("description") for member in new_key["properties"].values())
    expiry = new_key["properties"]["expires_at"]["anyOf"]
    assert any(choice.get("minimum") == 0 for choice in expiry)


def test_examples_are_accepted(api: AdminApi, document: dict[str, Any]) -> None:
    for path, name in (
        ("/consumers", "NewConsumer"),
        ("/keys", "NewKey"),
        ("/budgets", "NewBudget"),
        ("/admin-keys", "NewAdminKey"),
    ):
        assert document["components"]["schemas"][name]["examples"] == [EXAMPLES[name]]
        assert api.ask("POST", path, EXAMPLES[name])[0] == 201, name
    assert api.ask("PUT", f"/budgets/{EXAMPLES['NewBudget']['name']}", EXAMPLES["BudgetDocument"])[0] == 200


def test_every_reference_has_its_end(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}

    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*map(references, value.values()))
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    assert references(document) <= known
