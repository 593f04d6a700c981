"""Problem details (RFC 9457): every 4xx says what was wrong, in which field, and how to mend it."""

from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, Field, ValidationError
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:problem-type:recommend:"


class FieldError(BaseModel):
    """One field that was wrong."""

    pointer: str = Field(
        description="JSON Pointer (RFC 6901) of the field, as a URI fragment", examples=["#/limit"]
    )
    detail: str = Field(
        description="What was wrong and what to send instead",
        examples=["Input should be less than or equal to 100"],
    )


class ProblemDetails(BaseModel):
    """The body of every error, RFC 9457."""

    type: str = Field(
        description="URI of the kind of problem; stable, made for programs",
        examples=[f"{TYPE_PREFIX}invalid-request"],
    )
    title: str = Field(
        description="The kind of problem, for people", examples=["The request does not fit the contract"]
    )
    status: int = Field(description="The HTTP status", examples=[422])
    detail: str = Field(
        description="What was wrong this time and what to do",
        examples=["limit: Input should be less than or equal to 100"],
    )
    errors: list[FieldError] = Field(default=[], description="The fields that were wrong")


class Problem(Exception):
    """An error of the caller's; carries the answer to give."""

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """``kind`` is the last part of the problem's type URI; ``headers`` go with the answer."""
        super().__init__(title)
        self.kind = kind
        self.headers = dict(headers or {})
        self.details = ProblemDetails(
            type=TYPE_PREFIX + kind, title=title, status=status, detail=detail, errors=list(errors)
        )


def bad_fields(status: int, kind: str, title: str, errors: Sequence[FieldError]) -> Problem:
    """A problem whose detail names the first of the fields, and how many more there are."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    field = first.pointer.removeprefix("#/") or "the body"
    return Problem(status, kind, title, f"{field}: {first.detail}{more}", errors)


def invalid(error: ValidationError) -> Problem:
    """The problem behind a body that is no JSON (400) or does not fit the contract (422)."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        return Problem(400, "not-json", "The body is not JSON", f"{found[0]['msg']}: send one JSON object")
    return bad_fields(
        422,
        "invalid-request",
        "The request does not fit the contract",
        [FieldError(pointer=pointer(e["loc"]), detail=_mend(e["type"], e["msg"])) for e in found],
    )


def pointer(path: Iterable[str | int]) -> str:
    """JSON Pointer of a path, as a URI fragment (RFC 6901, section 6, without percent-encoding)."""
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def response(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """The HTTP answer."""
    details = problem.details
    return Response(
        details.model_dump_json(), details.status, problem.headers | (headers or {}), media_type=MEDIA_TYPE
    )


def _mend(kind: str, said: str) -> str:
    match kind:
        case "extra_forbidden":
            return "there is no such field: remove it"
        case "missing":
            return "is required: send it"
        case _:
            return said.removeprefix("Value error, ")
