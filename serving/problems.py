"""Problem details (RFC 9457): every 4xx says what was wrong, in which field, and how to mend it."""

from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:problem-type:recommend:"
MOST_ERRORS = 100
"""Fields that one problem names: an answer must not grow with what is wrong in the request."""
LONGEST_NAME = 256
"""Characters of a field's name that are said again; those of the contract are shorter."""


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
    errors: list[FieldError] = Field(
        default=[], description=f"The fields that were wrong; the first {MOST_ERRORS} of them"
    )


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
    return Problem(status, kind, title, f"{_name(first.pointer)}: {first.detail}{more}", errors[:MOST_ERRORS])


def invalid(error: ValidationError) -> Problem:
    """The problem behind a body that is no JSON (400) or does not fit the contract (422)."""
    found = error.errors(include_url=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        said = found[0]["msg"].removeprefix("Invalid JSON: ")
        return Problem(
            400, "not-json", "The body is not JSON", f"the body: {said}: send one JSON object, in UTF-8"
        )
    return misfit([_field_error(e) for e in found])


def misfit(errors: Sequence[FieldError]) -> Problem:
    """422: fields that do not fit the contract."""
    return bad_fields(422, "invalid-request", "The request does not fit the contract", errors)


def pointer(path: Iterable[str | int]) -> str:
    """JSON Pointer of a path, as a URI fragment (RFC 6901, section 6, without percent-encoding).

    A name of more than `LONGEST_NAME` characters is cut there, and an ellipsis stands for the rest.
    """
    return "#" + "".join("/" + _cut(str(part)).replace("~", "~0").replace("/", "~1") for part in path)


def response(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """The HTTP answer."""
    details = problem.details
    return Response(
        details.model_dump_json(), details.status, problem.headers | (headers or {}), media_type=MEDIA_TYPE
    )


def _field_error(error: ErrorDetails) -> FieldError:
    path, said = error["loc"], _mend(error["type"], error["msg"])
    # So pydantic says that the name is wrong, not its value.
    if len(path) > 1 and path[-1] == "[key]" and path[-2] == error["input"]:
        path, said = path[:-1], f"its name: {said}"
    return FieldError(pointer=pointer(path), detail=said)


def _name(pointer: str) -> str:
    """Of the field, as a person reads it."""
    return "the body" if pointer == "#" else pointer.removeprefix("#/") or '""'


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "…"


def _mend(kind: str, said: str) -> str:
    match kind:
        case "extra_forbidden":
            return "there is no such field: remove it"
        case "missing":
            return "is required: send it"
        case "string_too_short":
            return "is empty: send at least one character"
        case "too_short":
            return "is empty: send at least one"
        case _:
            return said.removeprefix("Value error, ")
