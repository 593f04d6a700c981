"""Requests that Schemathesis makes from the OpenAPI document, right ones and wrong ones, against a real server."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import APIOperation, BaseSchema, GenerationMode
from schemathesis.checks import CheckContext, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.openapi import ROUTES, Document, Route, document
from tests.serving.live_server import Server
from tests.serving.problem_checks import check_problem

MEMBERS = "channel_activity__members"
NUMBER = rf"({MEMBERS}|user_activity__messages_30d|0|[0-9]{{1,3}}|[0-9]e[0-9]{{1,3}}|log1p\(-?[0-9]\))"
ARITHMETIC = rf"^-?{NUMBER} [-+*/] {NUMBER}$"
CONDITION = rf"^(not )?{NUMBER} (<|<=|>|>=|==|!=) {NUMBER} (and|or) is_missing\({NUMBER}\)$"


def narrowed(whole: Document) -> Document:
    """The document with what only this service knows, as its home has only this workspace and its recommender only
    these features: without, hardly any made-up request comes as far as the ranking."""
    result = copy.deepcopy(whole)
    for model in ("RecommendRequest", "ExplainRequest"):
        fields = result["components"]["schemas"][model]["properties"]
        raw_id = fields["query"]["additionalProperties"]
        most = next(choice for choice in fields["caps"]["anyOf"] if choice["type"] == "object")
        fields |= {
            "workspace": or_null({"type": "string", "enum": ["acme"]}),
            "recommender": {"type": "string", "enum": ["channel_browser"]},
            "query": only({"user_id": raw_id}, required=["user_id"]),
            "context": only({}),
            "caps": or_null(only(dict.fromkeys(("source", MEMBERS), most["additionalProperties"]))),
            "page_token": {"type": "null"},
            "variant": {"type": "null"},
            "as_of": or_null(
                {"type": "string", "enum": ["2025-08-01T12:00:00Z", "2025-08-02", "2001-01-01"]}
            ),
        }
        for field, pattern in (("filter", CONDITION), ("boost", ARITHMETIC)):
            fields[field]["anyOf"].insert(0, {"type": "string", "pattern": pattern, "maxLength": 200})
    return result


def or_null(schema: Document) -> Document:
    return {"anyOf": [schema, {"type": "null"}]}


def only(properties: Document, required: Sequence[str] = ()) -> Document:
    closed = {"type": "object", "properties": properties, "additionalProperties": False}
    return closed | {"required": list(required)} if required else closed


def wrong_data_are_refused(
    ctx: CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """Whole, but for what the narrowed document alone forbids, which a batch answers by a problem of its own."""
    if case.operation.path != "/recommend/batch":
        negative_data_rejection(ctx, response, case)


def problem_conformance(ctx: CheckContext, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """Every refusal names the field and the mend."""
    if 400 <= response.status_code < 500:
        sent = case.body if case.media_type == "application/json" else None
        content_type = response.headers["content-type"][0]
        check_problem(response.status_code, content_type, response.json(), sent)


CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    wrong_data_are_refused,
    problem_conformance,
]
SETTINGS: dict[str, Any] = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
BOTH = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)

every_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)


@pytest.fixture(scope="session")
def schema() -> BaseSchema:
    return schemathesis.openapi.from_dict(narrowed(document("1.0")))


@pytest.fixture(scope="session")
def session() -> Iterator[requests.Session]:
    """Keeps its connections."""
    with requests.Session() as kept:
        yield kept


@every_route
def test_every_bound_of_the_document_and_what_lies_beyond(
    route: Route, schema: BaseSchema, server: Server, session: requests.Session
) -> None:
    cases = schema.iter_coverage_cases(
        operation(schema, route), generation_modes=list(BOTH), generation_config=schema.config.generation
    )
    sent = [case.call_and_validate(f"{server.http.base_url}/v1", session, checks=CHECKS) for case in cases]
    assert {200, 405} <= {answer.status_code for answer in sent}


@every_route
def test_a_few_made_up_requests(
    route: Route, schema: BaseSchema, server: Server, session: requests.Session
) -> None:
    fuzz(operation(schema, route), 15, server, session)


@pytest.mark.slow
@every_route
def test_many_made_up_requests(
    route: Route, schema: BaseSchema, server: Server, session: requests.Session
) -> None:
    fuzz(operation(schema, route), 60, server, session)


def operation(schema: BaseSchema, route: Route) -> APIOperation:
    return schema[route.path]["get" if route.request is None else "post"]


def fuzz(made_from: APIOperation, requests_a_mode: int, server: Server, session: requests.Session) -> None:
    """The same requests in every run: right ones, and wrong ones where anything can be wrong."""
    for mode in BOTH if len(made_from.body) or len(made_from.query) else BOTH[:1]:

        @settings(max_examples=requests_a_mode, **SETTINGS)
        @given(case=made_from.as_strategy(generation_mode=mode))
        def run(case: schemathesis.Case) -> None:
            case.call_and_validate(f"{server.http.base_url}/v1", session, checks=CHECKS)

        run()
