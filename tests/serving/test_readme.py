"""What the README says of the API is run against a real server, in its order, and is all that there is to say."""

import json
import re
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import BaseModel

from feature_repo.home import PROJECT
from serving.contract import Item, RecommendRequest, RecommendResponse
from serving.openapi import ROUTES
from tests.serving.live_server import Server

README = (PROJECT / "README.md").read_text()
ADDRESS = "http://127.0.0.1:3000"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STATUS = "\n%{http_code} %{content_type} %{method}"


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, empty for a command, and its text."""

    language: str
    text: str


BLOCKS = [Block(language, text) for language, text in _BLOCK.findall(README)]
API = README[README.index("\n## The API\n") :].split("\n## ")[1]


def test_every_curl_command_answers_what_is_shown(server: Server) -> None:
    """What an answer gives — the request id, the items — stands in the commands after it as it does in the README."""
    told: dict[str, str] = {}
    commands = 0
    for block, following in zip(BLOCKS, [*BLOCKS[1:], None], strict=True):
        if block.language in ("", "sh", "bash", "console") and "curl " in block.text:
            commands += block.text.count("curl ")
            answer = run(with_values(block.text, told), server)
            if following is not None and following.language == "json":
                shown = json.loads(following.text)
                assert shape(answer) == shape(shown), "the README shows another answer"
                told |= replacements(shown, answer)
    assert commands == README.count("curl "), "a command of the README stands where this test does not look"
    assert commands >= 2


def run(command: str, server: Server) -> Any:
    """The answer of one command, once it is known to be what the document says."""
    assert command.count("curl ") == 1, f"one command a block, so that each is checked: {command}"
    script = f'curl() {{ command curl -w {_STATUS!r} "$@"; }}\n{command.replace(ADDRESS, url(server))}'
    ran = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    body, _, said = ran.stdout.rpartition("\n")
    status, media_type, method = said.split()
    assert status == "200", body
    answer = json.loads(body)
    (path,) = re.findall(rf"{re.escape(ADDRESS)}/v1(/[\w/.-]+)", command)
    whole = server.http.get("/v1/openapi.json").json()
    described = whole["paths"][path][method.lower()]["responses"][status]["content"][media_type]["schema"]
    Draft202012Validator(described | {"components": whole["components"]}).validate(answer)
    return answer


def url(server: Server) -> str:
    return str(server.http.base_url).rstrip("/")


def with_values(text: str, told: dict[str, str]) -> str:
    for shown, real in told.items():
        text = text.replace(f'"{shown}"', f'"{real}"')
    return text


def shape(value: Any) -> Any:
    """The keys of a JSON value, whatever the values are; of a list, the shape of its first item."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value and isinstance(value[0], dict) else []
    return "a value"


def replacements(shown: Any, answer: Any) -> dict[str, str]:
    """By each id that the README shows, the one that was really answered."""
    if isinstance(shown, dict):
        found = {}
        for key, value in shown.items():
            if key in ("request_id", "id") and isinstance(value, str):
                found[value] = answer[key]
            else:
                found |= replacements(value, answer[key])
        return found
    if isinstance(shown, list):
        return {
            k: v
            for one, other in zip(shown, answer, strict=False)
            for k, v in replacements(one, other).items()
        }
    return {}


def test_every_block_of_python_that_calls_the_service_runs(server: Server) -> None:
    blocks = [b.text for b in BLOCKS if b.language == "python" and ADDRESS in b.text]
    assert blocks
    for text in blocks:
        names: dict[str, Any] = {}
        exec(compile(text.replace(ADDRESS, url(server)), "README.md", "exec"), names)
        answers = [value for value in names.values() if isinstance(value, BaseModel)]
        assert answers, f"nothing was answered to:\n{text}"


def test_the_address_stands_in_nothing_that_is_not_run() -> None:
    run_here = [b.text for b in BLOCKS if "curl " in b.text or b.language == "python"]
    assert README.count(ADDRESS) == sum(text.count(ADDRESS) for text in run_here)


@pytest.mark.parametrize("field", RecommendRequest.model_fields)
def test_every_field_of_a_request_is_named(field: str) -> None:
    assert f"`{field}`" in API or f'"{field}"' in API, (
        f"the README's section on the API is silent about {field}"
    )


@pytest.mark.parametrize("field", [*RecommendResponse.model_fields, *Item.model_fields])
def test_every_field_of_an_answer_is_named(field: str) -> None:
    assert f"`{field}`" in API, f"the README's section on the API is silent about {field}"


def test_a_refusal_is_the_one_that_is_shown(server: Server) -> None:
    (shown,) = (json.loads(b.text) for b in BLOCKS if b.language == "json" and '"status"' in b.text)
    asked = {"recommender": "channel_browser", "query": {"user_id": "U1"}, "limit": 1000}
    answer = server.http.post("/v1/recommend", json=asked)
    assert answer.status_code == shown["status"]
    assert answer.json() == shown


def test_every_status_of_the_document_is_explained(server: Server) -> None:
    paths = server.http.get("/v1/openapi.json").json()["paths"]
    told = {
        status for methods in paths.values() for route in methods.values() for status in route["responses"]
    }
    explained = set(
        re.findall(r"\b[45]\d\d\b", "".join(re.findall(r"^\| (?:[45]\d\d.*?) \|", API, re.MULTILINE)))
    )
    assert told - {"200"} <= explained


@pytest.mark.parametrize("path", [route.path for route in ROUTES])
def test_every_route_is_named(path: str) -> None:
    assert re.search(rf"/v1{re.escape(path)}(?![\w/])", API), (
        f"the README's section on the API is silent about {path}"
    )


def test_every_route_that_is_named_is_there(server: Server) -> None:
    served = {"/v1" + route.path for route in ROUTES} | {"/v1/openapi.json"}
    assert set(re.findall(r"/v1/[\w/]+(?:\.json)?", README)) <= served
