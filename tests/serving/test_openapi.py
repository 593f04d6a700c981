"""/v1/openapi.json is a valid document, says what every field is, and the service keeps to it."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import OpenAPIV31SpecValidator

from serving.openapi import document
from tests.serving.live_server import Server


def test_the_document_is_valid_openapi() -> None:
    assert list(OpenAPIV31SpecValidator(document("1.0")).iter_errors()) == []


def test_every_field_has_a_description_and_every_leaf_an_example() -> None:
    fields = list(properties(document("1.0")["components"]["schemas"]))
    assert len(fields) > 30
    for path, schema in fields:
        assert schema.get("description"), f"{path} has no description"
        if schema.get("items", {}).get("$ref") is None:
            assert schema.get("examples"), f"{path} has no example"


def test_bounds_are_told() -> None:
    schemas = document("1.0")["components"]["schemas"]
    limit = schemas["RecommendRequest"]["properties"]["limit"]
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 100, 10)
    assert schemas["RecommendRequest"]["additionalProperties"] is False
    assert schemas["OutcomesRequest"]["properties"]["events"]["maxItems"] == 1000


@pytest.mark.parametrize("example", ["RecommendRequest", "OutcomeEvent"])
def test_examples_keep_to_their_own_schema(example: str) -> None:
    whole = document("1.0")
    for name, schema in whole["components"]["schemas"][example]["properties"].items():
        for value in schema.get("examples", []):
            errors = list(
                Draft202012Validator(schema | {"components": whole["components"]}).iter_errors(value)
            )
            assert not errors, f"{example}.{name}: {errors}"


def test_answers_fit_the_document(server: Server) -> None:
    whole = server.http.get("/v1/openapi.json").json()
    assert whole == document(whole["info"]["version"])
    event = {"event_id": "o-1", "request_id": "0" * 25, "id": "C1", "outcome": "join"}
    for answer, path, method in (
        (server.http.get("/v1/recommenders"), "/recommenders", "get"),
        (server.http.post("/v1/recommend", json={}), "/recommend", "post"),
        (server.http.post("/v1/recommend", json=good()), "/recommend", "post"),
        (server.http.post("/v1/recommend", json=good() | {"recommender": "x"}), "/recommend", "post"),
        (server.http.post("/v1/outcomes", json={"events": [event]}), "/outcomes", "post"),
        (server.http.post("/v1/outcomes", content=b"?"), "/outcomes", "post"),
        (server.http.get("/v1/health"), "/health", "get"),
    ):
        described = whole["paths"][path][method]["responses"][str(answer.status_code)]["content"]
        schema = described[answer.headers["content-type"]]["schema"]
        Draft202012Validator(schema | {"components": whole["components"]}).validate(answer.json())


def good() -> dict[str, Any]:
    return {"recommender": "channel_browser", "query": {"user_id": "U1"}, "limit": 2}


def properties(schemas: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for model, schema in schemas.items():
        for name, field in schema.get("properties", {}).items():
            yield f"{model}.{name}", field
