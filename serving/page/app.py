"""A few files over HTTP, with headers under which they can load and reach nothing but this service."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""Ids are other people's text: should one ever be taken for markup, it still runs and loads nothing."""

_SCRIPTS = ("page.js", "api.js", "combobox.js", "markup.js")
_FILES = StaticFiles(directory=Path(__file__).with_name("static"))


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        response = await _FILES.get_response(name, request.scope)
        response.headers.update(HEADERS)
        return response

    return answer


page = Starlette(
    routes=[
        Route("/", _file("index.html")),
        *(Route(f"/{name}", _file(name)) for name in ("page.css", *_SCRIPTS)),
    ]
)
"""A Starlette with these routes alone: BentoML looks into one, and answers every other path itself."""
