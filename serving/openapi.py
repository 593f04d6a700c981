"""The OpenAPI 3.1 document of ``/v1``, made from the contract's models."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving.contract import (
    BatchRequest,
    BatchResponse,
    ExplainRequest,
    ExplainResponse,
    HealthResponse,
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
    413: "The body is too large",
    422: "A field is missing, unknown, of a wrong type or out of bounds",
}


_REQUESTS = (RecommendRequest, BatchRequest, ExplainRequest, OutcomesRequest)
_ANSWERS = (
    RecommendResponse,
    BatchResponse,
    ExplainResponse,
    OutcomesResponse,
    RecommendersResponse,
    HealthResponse,
    ProblemDetails,
)


def document(version: str) -> Document:
    """The whole document."""
    _, schemas = models_json_schema(
        [*((m, "validation") for m in _REQUESTS), *((m, "serialization") for m in _ANSWERS)],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Recommend",
            "version": version,
            "description": "Recommendations for your entities, by your own ids.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/v1"}],
        "paths": {
            "/recommend": {
                "post": _operation(
                    "recommend",
                    "Rank candidates for whoever asks",
                    RecommendRequest,
                    RecommendResponse,
                    _PROBLEMS,
                    "recommend",
                )
            },
            "/recommend/batch": {
                "post": _operation(
                    "recommend_batch",
                    "Answer many requests in one call",
                    BatchRequest,
                    BatchResponse,
                    {k: v for k, v in _PROBLEMS.items() if k != 404},
                    "recommend",
                )
            },
            "/explain": {
                "post": _operation(
                    "explain",
                    "Say why a candidate is, or is not, answered",
                    ExplainRequest,
                    ExplainResponse,
                    _PROBLEMS,
                    "recommend",
                )
            },
            "/outcomes": {
                "post": _operation(
                    "record_outcomes",
                    "Tell what was done with recommended items",
                    OutcomesRequest,
                    OutcomesResponse,
                    {k: v for k, v in _PROBLEMS.items() if k != 404},
                    "outcomes",
                )
            },
            "/recommenders": {
                "get": _operation(
                    "list_recommenders",
                    "List what can be asked for",
                    None,
                    RecommendersResponse,
                    {},
                    "recommend",
                )
            },
            "/health": {
                "get": _operation(
                    "tell_health",
                    "Tell which parts work and what was logged",
                    None,
                    HealthResponse,
                    {},
                    "admin",
                )
            },
        },
        "components": {"schemas": schemas["$defs"], "securitySchemes": SECURITY_SCHEMES},
    }


def _operation(
    name: str,
    summary: str,
    request: type[BaseModel] | None,
    answer: type[BaseModel],
    problems: Mapping[int, str],
    scope: Scope,
) -> Document:
    operation: Document = {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": "The answer", "content": _content("application/json", answer)}}
        | {
            str(status): {"description": meaning, "content": _content(MEDIA_TYPE, ProblemDetails)}
            for status, meaning in problems.items()
        },
    }
    if request is not None:
        operation["requestBody"] = {"required": True, "content": _content("application/json", request)}
    return secured(operation, scope)


def _content(media_type: str, model: type[BaseModel]) -> Document:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
