"""Requests that no well-behaved client sends, byte by byte over a socket: each has an answer, whole and well-formed."""

import gzip
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

import pytest

from serving.api import MAX_BODY_BYTES
from serving.problems import MOST_ERRORS
from tests.serving.live_server import Server
from tests.serving.problem_checks import check_problem

GOOD = b'{"recommender": "channel_browser", "query": {"user_id": "U1"}, "limit": 2, "dry_run": true}'
JSON = {"Content-Type": "application/json"}
CHUNKED = JSON | {"Transfer-Encoding": "chunked"}
SECONDS = 10


@dataclass(frozen=True)
class Answer:
    """An answer as it was read from the socket; ``body`` is as long as its header said."""

    status: int
    content_type: str | None
    body: bytes

    def problem(self) -> dict[str, Any]:
        """The problem that a 4xx of the API is."""
        found: dict[str, Any] = json.loads(self.body)
        check_problem(self.status, self.content_type, found)
        return found


def post(
    server: Server,
    body: bytes,
    headers: Mapping[str, str] = JSON,
    path: str = "/v1/recommend",
    method: str = "POST",
) -> Answer:
    """The answer to a request with these header fields; its length is said, if they do not frame it otherwise."""
    framed = {"content-length", "transfer-encoding"} & {name.lower() for name in headers}
    own = {"Host": f"127.0.0.1:{server.http.base_url.port}", "Connection": "close"}
    length = {} if framed else {"Content-Length": str(len(body))}
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in (own | length | dict(headers)).items())]
    return exchange(server, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)


def exchange(server: Server, sent: bytes) -> Answer:
    with socket.create_connection(
        ("127.0.0.1", server.http.base_url.port or 0), timeout=SECONDS
    ) as connection:
        connection.sendall(sent)
        with HTTPResponse(connection) as response:
            response.begin()
            return Answer(response.status, response.getheader("content-type"), response.read())


def with_field(name: str, value: bytes) -> bytes:
    return GOOD[:-1] + b', "' + name.encode() + b'": ' + value + b"}"


def with_user(raw: bytes) -> bytes:
    return GOOD.replace(b'"U1"', b'"' + raw + b'"')


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(with_field("candidates", b"[" * 10_000 + b"]" * 10_000), 400, id="10,000 brackets"),
        pytest.param(b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400, id="10,000 braces"),
        pytest.param(with_field("exclude", b"[]]"), 400, id="a bracket too many"),
        pytest.param(GOOD + GOOD, 400, id="two objects"),
        pytest.param(with_field("limit", b"9" * 5000), 400, id="an integer of 5,000 digits"),
        pytest.param(with_field("limit", b"1e400"), 422, id="a number beyond all"),
        pytest.param(with_field("diversity", b"NaN"), 422, id="NaN"),
        pytest.param(with_field("diversity", b"Infinity"), 422, id="Infinity"),
        pytest.param(with_field("diversity", b"-Infinity"), 422, id="-Infinity"),
        pytest.param(with_field("caps", b'{"source": NaN}'), 422, id="NaN within"),
        pytest.param(with_user(rb"\ud800"), 400, id="half a surrogate pair"),
        pytest.param(with_user(rb"\udfff\ud800"), 400, id="a surrogate pair in disorder"),
        pytest.param(with_user(b"\xed\xa0\x80"), 400, id="a surrogate in UTF-8"),
        pytest.param(with_user(b"\xff\xfe"), 400, id="not UTF-8"),
        pytest.param(with_user(b"\xc0\xaf"), 400, id="overlong UTF-8"),
        pytest.param(with_user(b"U\x00"), 400, id="a NUL as it is"),
        pytest.param(with_user(b"U" * 1_000_000), 422, id="an id of a megabyte"),
        pytest.param(b"\xef\xbb\xbf" + GOOD, 400, id="a byte order mark"),
        pytest.param(GOOD.decode().encode("utf-16"), 400, id="UTF-16"),
        pytest.param(gzip.compress(GOOD), 400, id="compressed, and not said to be"),
        pytest.param(with_field("boost", b'"1;2"'), 422, id="two expressions"),
        pytest.param(with_field("boost", b'"1 \\u0000"'), 422, id="a NUL in an expression"),
        pytest.param(with_field("boost", b'"9**9**9**9"'), 422, id="a power without end"),
        pytest.param(with_field("filter", b'"' + b"(" * 900 + b'"'), 422, id="900 parentheses"),
        pytest.param(with_field("filter", b'"' + b"not " * 249 + b'"'), 422, id="249 times not"),
    ],
)
def test_a_wrong_body(server: Server, body: bytes, status: int) -> None:
    answer = post(server, body)
    assert answer.status == status, answer.body[:500]
    answer.problem()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(with_field("limit", b"1"), id="a field twice: the last one holds"),
        pytest.param(with_user(rb"U\u0000"), id="a NUL in an id: nobody we know"),
        pytest.param(with_user(rb"\ud83d\ude00"), id="a surrogate pair"),
        pytest.param(b" \r\n\t" + GOOD + b"\n", id="white space around"),
        pytest.param(with_field("boost", b'"1 / 0"'), id="a division by zero"),
        pytest.param(with_field("boost", b'"' + b"9" * 900 + b'"'), id="a constant beyond all floats"),
        pytest.param(with_field("boost", b'"1e999 - 1e999"'), id="a constant that is no number"),
        pytest.param(with_field("filter", b'"1 / 0 > 1"'), id="a division by zero in a filter"),
    ],
)
def test_an_odd_body_that_is_right(server: Server, body: bytes) -> None:
    answer = post(server, body)
    assert answer.status == 200, answer.body[:500]
    assert len(json.loads(answer.body)["items"]) in (0, 1, 2)


def test_what_is_wrong_is_not_said_again_at_length(server: Server) -> None:
    long_name = with_field("x" * 1_000_000, b"1")
    long_key = GOOD.replace(b'"user_id"', b'"' + b"k" * 1_000_000 + b'"')
    many = json.dumps({f"field{n}": n for n in range(50_000)}).encode()
    for body, wrong in ((long_name, 1), (long_key, 1), (many, 50_002)):
        answer = post(server, body)
        assert answer.status == 422
        problem = answer.problem()
        assert len(answer.body) < 20_000
        assert len(problem["errors"]) == min(wrong, MOST_ERRORS)
        assert wrong == 1 or f"(and {wrong - 1} more)" in problem["detail"]
    assert "its name" in post(server, long_key).problem()["errors"][0]["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no content type"),
        pytest.param({"Content-Type": ""}, id="an empty content type"),
        pytest.param({"Content-Type": "text/plain"}, id="text"),
        pytest.param({"Content-Type": "multipart/form-data; boundary=x"}, id="a form"),
        pytest.param({"Content-Type": "application/json; charset=latin-1"}, id="another charset"),
        pytest.param({"Content-Type": "\xff\xfe"}, id="a content type in no charset"),
        pytest.param(JSON | {"Content-Encoding": "gzip"}, id="said to be compressed, and is not"),
        pytest.param(JSON | {"X-Long": "a" * 65_536}, id="a field of 64 kB"),
        pytest.param(JSON | {f"X-{n}": "1" for n in range(1000)}, id="a thousand fields"),
        pytest.param(JSON | {"X-Odd": "\xff\x80"}, id="a field in no charset"),
        pytest.param(JSON | {"Authorization": "Bearer " + "k" * 60_000}, id="a key of 60 kB"),
        pytest.param(JSON | {"Authorization": "\xff"}, id="a key in no charset"),
        pytest.param(JSON | {"Expect": "a miracle"}, id="an unknown expectation"),
        pytest.param(JSON | {"Accept": "image/png"}, id="another answer wanted"),
    ],
)
def test_odd_header_fields(server: Server, headers: dict[str, str]) -> None:
    """Each is passed over or refused."""
    answer = post(server, GOOD, headers)
    if answer.status == 200:
        assert len(json.loads(answer.body)["items"]) == 2
    else:
        assert answer.status in (400, 415, 431), answer.body[:500]
        if answer.status != 400:
            answer.problem()


def test_a_compressed_body_is_refused(server: Server) -> None:
    answer = post(server, gzip.compress(GOOD), JSON | {"Content-Encoding": "gzip"})
    assert answer.status in (400, 415)
    answer.problem()


def test_an_unknown_query_string_is_passed_over(server: Server) -> None:
    answer = post(server, GOOD, path="/v1/recommend?limit=1&%00=%ff&a=b=c&;")
    assert len(json.loads(answer.body)["items"]) == 2


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
def test_a_method_that_does_not_fit(server: Server, method: str) -> None:
    answer = post(server, b"", {}, method=method)
    assert answer.status == 405
    answer.problem()


@pytest.mark.parametrize("path", ["/v1/recommenders", "/v1/health", "/v1/openapi.json"])
def test_what_is_only_read_takes_no_post(server: Server, path: str) -> None:
    answer = post(server, GOOD, path=path)
    assert answer.status == 405
    answer.problem()


@pytest.mark.parametrize(
    "path", ["/v1/", "/v1//recommend", "/v1/%00", "/v1/%2e%2e/x", "/v1/recommend;x", "/v1/é"]
)
def test_a_path_that_is_not_served(server: Server, path: str) -> None:
    answer = post(server, b"", {}, path=path.replace("é", "%C3%A9"), method="GET")
    assert answer.status == 404
    answer.problem()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(b"zz\r\nhello\r\n0\r\n\r\n", CHUNKED, id="a chunk of no size"),
        pytest.param(b"f" * 18 + b"\r\nabc", CHUNKED, id="a chunk beyond all sizes"),
        pytest.param(b"5\r\nhelloX\r\n0\r\n\r\n", CHUNKED, id="a chunk longer than it says"),
        pytest.param(b"0\r\n\r\n", CHUNKED | {"Content-Length": "5"}, id="two framings"),
        pytest.param(b"", JSON | {"Transfer-Encoding": "gzip"}, id="an unknown framing"),
        pytest.param(GOOD, JSON | {"Content-Length": "-3"}, id="a negative length"),
        pytest.param(GOOD, JSON | {"Content-Length": "many"}, id="a length that is no number"),
        pytest.param(GOOD, JSON | {"X Y": "1"}, id="a field with a space"),
        pytest.param(GOOD, JSON | {"X-NUL": "\x00"}, id="a NUL in a field"),
        pytest.param(GOOD, JSON | {"X-Folded": "1\r\n 2"}, id="a folded field"),
    ],
)
def test_a_request_that_is_not_http(server: Server, body: bytes, headers: dict[str, str]) -> None:
    assert post(server, body, headers).status == 400


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
        b"GET /v1/recommenders HTTP/3.0\r\n\r\n",
        b"post /v1/recommend HTTP/1.1\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["TLS", "another version", "a method in small letters", "a path of 100 kB"],
)
def test_a_first_line_that_is_not_http(server: Server, sent: bytes) -> None:
    assert exchange(server, sent).status in (400, 414)


def test_garbage_after_a_request_spoils_nothing_of_its_answer(server: Server) -> None:
    host = f"Host: 127.0.0.1:{server.http.base_url.port}\r\n".encode()
    first = b"GET /v1/recommenders HTTP/1.1\r\n" + host + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.http.base_url.port or 0), SECONDS) as connection:
        connection.sendall(first)
        with HTTPResponse(connection) as response:
            response.begin()
            assert response.status == 200
            assert json.loads(response.read())["recommenders"]
        connection.sendall(b"\x00\x01 garbage\r\n\r\n" + first)
        with HTTPResponse(connection) as refused:
            refused.begin()
            assert refused.status == 400
            refused.read()
        assert connection.recv(1) == b"", "what follows garbage on a connection must not be answered"


def test_a_chunked_body_that_grows_too_large_is_cut_off_before_its_end(server: Server) -> None:
    # Of five megabytes that are announced, what is a byte too much, and no more: the service reads all that is sent, so that
    # it cannot close the connection under the hands of whoever sends.
    answer = post(server, b"500000\r\n" + b" " * (MAX_BODY_BYTES + 1), CHUNKED)
    assert answer.status == 413
    answer.problem()


@pytest.mark.parametrize(
    "headers", [CHUNKED, JSON | {"Content-Length": "999999"}], ids=["chunks", "a length"]
)
def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(
    server: Server, headers: dict[str, str]
) -> None:
    lines = ["POST /v1/recommend HTTP/1.1", "Host: 127.0.0.1", *(f"{k}: {v}" for k, v in headers.items())]
    with socket.create_connection(("127.0.0.1", server.http.base_url.port or 0), SECONDS) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n5\r\n{    \r\n")
        connection.shutdown(socket.SHUT_WR)
        left = connection.recv(65536)
    assert left == b"" or left.startswith(b"HTTP/1.1 4")
    assert post(server, GOOD).status == 200
