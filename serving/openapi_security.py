"""What the OpenAPI document says about keys: the security scheme, and the refusals with their header fields."""

from datetime import UTC, datetime
from typing import Any

from serving import refusals
from serving.keys import DEFAULT_RATE, Scope
from serving.problems import MEDIA_TYPE, Problem, ProblemDetails

_SCHEME = "key"

SECURITY_SCHEMES: dict[str, Any] = {
    _SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "rk_<id>_<secret>",
        "description": "A key from `recommend keys add`, bound to one workspace and to scopes (recommend, outcomes, "
        "admin). While no key is configured, clients on the service's own machine need none.",
    }
}


def secured(operation: dict[str, Any], scope: Scope) -> dict[str, Any]:
    """The operation with its scope and the refusals of a caller."""
    refused = {
        "401": _refusal(
            "The key is missing, malformed, unknown, revoked or expired (RFC 6750)",
            {"WWW-Authenticate": "The scheme, and what is wrong with the key"},
            refusals.no_key(),
            refusals.malformed_key(),
            refusals.unknown_key(),
            refusals.expired_key(datetime(2026, 1, 1, tzinfo=UTC)),
        ),
        "403": _refusal(
            "The key lacks the scope or is bound to another workspace; or there are no keys and the client is not "
            "on the service's machine, or is a web page that is not the service's",
            {"WWW-Authenticate": "The scope that is missing, where it is one"},
            refusals.missing_scope(scope),
            refusals.other_workspace("acme"),
            refusals.keys_needed(),
            refusals.foreign_host(),
            refusals.foreign_origin(),
        ),
        "429": _refusal(
            "The key is used more often than its rate allows",
            {
                "Retry-After": "Seconds to wait",
                "RateLimit-Policy": "Requests (q) in so many seconds (w)",
                "RateLimit": "Requests left (r), and seconds until there are more (t)",
            },
            refusals.too_many(DEFAULT_RATE, 1),
        ),
    }
    responses = dict(sorted((operation["responses"] | refused).items()))
    return operation | {"security": [{_SCHEME: [scope]}, {}], "responses": responses}


def _refusal(meaning: str, headers: dict[str, str], *examples: Problem) -> dict[str, Any]:
    sent = {name: value for problem in examples for name, value in problem.headers.items()}
    return {
        "description": meaning,
        "headers": {
            name: {"description": what, "schema": {"type": "string"}, "example": sent[name]}
            for name, what in headers.items()
        },
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"},
                "examples": {
                    f"{n}-{problem.kind}": {
                        "summary": problem.details.title,
                        "value": problem.details.model_dump(),
                    }
                    for n, problem in enumerate(examples, start=1)
                },
            }
        },
    }
