"""What holds of every problem that the service answers, whatever was wrong."""

import re
from typing import Any

from serving.problems import LONGEST_NAME, MEDIA_TYPE, MOST_ERRORS, TYPE_PREFIX

# Where no field is wrong: the body, a header field, or a method with its path.
_NAMED = re.compile(r"the body: |[A-Z][A-Za-z-]+: |[A-Z]+ /\S* is not served: ")
_MEND = re.compile(
    r"\b(?:should|send|choose|remove|write|use|see|split|wait|ask|make|report|wanted|takes|export|the functions are)\b",
    re.IGNORECASE,
)


def check_problem(status: int, content_type: str | None, problem: Any, body: Any = None) -> None:
    """Assert that a 4xx is problem details that name what was wrong and its mend.

    Args:
        status: Of the answer.
        content_type: Of the answer.
        problem: The answer's body.
        body: What was sent, where it was JSON: the pointers must lead into it.
    """
    assert content_type == MEDIA_TYPE, content_type
    assert set(problem) == {"type", "title", "status", "detail", "errors"}
    assert problem["status"] == status
    assert problem["type"].startswith(TYPE_PREFIX)
    assert problem["title"]
    assert _names_what_is_wrong(problem), f"names nothing: {problem['detail']!r}"
    assert _MEND.search(problem["detail"]), f"says no mend: {problem['detail']!r}"
    assert len(problem["errors"]) <= MOST_ERRORS
    if status == 422:
        assert problem["errors"], problem
    for error in problem["errors"]:
        assert _MEND.search(error["detail"]), f"says no mend: {error['detail']!r}"
        if isinstance(body, (dict, list)):
            assert _leads_into(body, error), f"{error['pointer']} is nowhere in the request"


def _names_what_is_wrong(problem: Any) -> bool:
    if not problem["errors"]:
        return _NAMED.match(problem["detail"]) is not None
    first = problem["errors"][0]
    field = {"#": "the body", "#/": '""'}.get(first["pointer"], first["pointer"].removeprefix("#/"))
    said: str = problem["detail"]
    return said.startswith(f"{field}: {first['detail']}")


def _leads_into(body: Any, error: dict[str, str]) -> bool:
    """Whether the pointer's field is there; the last one need not be where it is missing."""
    *path, last = error["pointer"].removeprefix("#").split("/")[1:] or [""]
    if error["pointer"] == "#":
        return True
    for part in path:
        found, body = _step(body, part)
        if not found:
            return False
    return _step(body, last)[0] or (isinstance(body, dict) and error["detail"].startswith("is required"))


def _step(value: Any, part: str) -> tuple[bool, Any]:
    if isinstance(value, list):
        return (True, value[int(part)]) if part.isdigit() and int(part) < len(value) else (False, None)
    if not isinstance(value, dict):
        return False, None
    name = part.replace("~1", "/").replace("~0", "~")
    if name in value:
        return True, value[name]
    cut = name.removesuffix("…") if len(name) > LONGEST_NAME else None
    found = [v for k, v in value.items() if cut is not None and k.startswith(cut)]
    return (True, found[0]) if found else (False, None)
