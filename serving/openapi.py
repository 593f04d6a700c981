"""The OpenAPI 3.1 document of ``/v1``, made from the contract's models."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from serving.contract import (
    BatchRequest,
    BatchResponse,
    ExplainRequest,
    ExplainResponse,
    HealthResponse,
    IdsRequest,
    IdsResponse,
    OutcomesRequest,
    OutcomesResponse,
    RecommendersResponse,
    RecommendRequest,
    RecommendResponse,
)
from serving.keys import Scope
from serving.openapi_security import SECURITY_SCHEMES, secured
from serving.problems import MEDIA_TYPE, ProblemDetails

Document = dict[str, Any]
"""A JSON object."""

_PROBLEMS = {
    400: "Not JSON, an unclear workspace, or an id that was not given out here",
    404: "No such recommender",
    408: "The body takes too long",
    413: "The body is too large",
    415: "The body is compressed",
    422: "A field is missing, unknown, of a wrong type or out of bounds",
    500: "A defect of the service; its log says where",
}
_OF_A_BODY = (408, 413, 415)


@dataclass(frozen=True)
class Route:
    """One path with its one method: GET where there is no request body."""

    path: str
    name: str
    summary: str
    request: type[BaseModel] | None
    answer: type[BaseModel]
    scope: Scope
    may_not_find: bool = False
    query: type[BaseModel] | None = None


ROUTES = (
    Route(
        "/recommend",
        "recommend",
        "Rank candidates for whoever asks",
        RecommendRequest,
        RecommendResponse,
        "recommend",
        may_not_find=True,
    ),
    Route(
        "/recommend/batch",
        "recommend_batch",
        "Answer many requests in one call",
        BatchRequest,
        BatchResponse,
        "recommend",
    ),
    Route(
        "/explain",
        "explain",
        "Say why a candidate is, or is not, answered",
        ExplainRequest,
        ExplainResponse,
        "recommend",
        may_not_find=True,
    ),
    Route(
        "/outcomes",
        "record_outcomes",
        "Tell what was done with recommended items",
        OutcomesRequest,
        OutcomesResponse,
        "outcomes",
    ),
    Route(
        "/recommenders",
        "list_recommenders",
        "List what can be asked for",
        None,
        RecommendersResponse,
        "recommend",
    ),
    Route(
        "/ids",
        "list_ids",
        "List ids that begin so, for a person who tries things out",
        None,
        IdsResponse,
        "admin",
        may_not_find=True,
        query=IdsRequest,
    ),
    Route(
        "/health", "tell_health", "Tell which parts work and what was logged", None, HealthResponse, "admin"
    ),
)


def document(version: str) -> Document:
    """The whole document."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ProblemDetails, "serialization")]
    for route in ROUTES:
        models.append((route.answer, "serialization"))
        if route.request is not None:
            models.append((route.request, "validation"))
    _, schemas = models_json_schema(models, ref_template="#/components/schemas/{model}")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Recommend",
            "version": version,
            "description": "Recommendations for your entities, by your own ids. Every error is problem details "
            "(RFC 9457), also where the path (404) or its method (405) is not in this document.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/v1"}],
        "paths": {r.path: {"get" if r.request is None else "post": _operation(r)} for r in ROUTES},
        "components": {"schemas": schemas["$defs"], "securitySchemes": SECURITY_SCHEMES},
    }


def _operation(route: Route) -> Document:
    problems = {
        status: meaning
        for status, meaning in _PROBLEMS.items()
        if (route.request is not None or (route.query is not None and status not in _OF_A_BODY))
        and (status != 404 or route.may_not_find)
    }
    operation: Document = {
        "operationId": route.name,
        "summary": route.summary,
        "responses": {
            "200": {"description": "The answer", "content": _content("application/json", route.answer)}
        }
        | {
            str(status): {"description": meaning, "content": _content(MEDIA_TYPE, ProblemDetails)}
            for status, meaning in problems.items()
        },
    }
    if route.query is not None:
        operation["parameters"] = _parameters(route.query)
    if route.request is not None:
        operation["requestBody"] = {"required": True, "content": _content("application/json", route.request)}
    return secured(operation, route.scope)


def _parameters(query: type[BaseModel]) -> list[Document]:
    schema = query.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "description": field["description"],
            "schema": {key: value for key, value in field.items() if key != "description"},
        }
        for name, field in schema["properties"].items()
    ]


def _content(media_type: str, model: type[BaseModel]) -> Document:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
