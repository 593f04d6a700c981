"""The BentoML service: ``bentoml serve serving.service:Recommend``."""

import os
import sys

# Before BentoML and Feast are imported: neither may send usage data anywhere.
os.environ |= {"BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "1", "FEAST_USAGE": "False"}

import bentoml

from feature_repo.errors import RecommendError
from feature_repo.home import keys_path
from serving.api import Api
from serving.cores import PIN, pin
from serving.page import page
from serving.unchecked import unchecked

# `bentoml serve` has asked, and remembered the answer, before it imports this module; a worker has not.
if (asked := sys.modules.get("bentoml._internal.utils.analytics.usage_stats")) is not None:
    asked.do_not_track.cache_clear()

ACCESS_LOG, TRACING, WORKERS = "RECOMMEND_ACCESS_LOG", "RECOMMEND_TRACING", "RECOMMEND_WORKERS"


def workers() -> int:
    """How many worker processes are wanted.

    Raises:
        RecommendError: the environment names no number of them.
    """
    text = os.environ.get(WORKERS) or "1"
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise RecommendError(f"{WORKERS} is {text!r}: set it to a number of worker processes from 1 to 64")
    return int(text)


api = Api()


@bentoml.service(
    name="recommend",
    workers=workers(),
    # A line a request costs as much as the whole of BentoML besides; /metrics counts them.
    # A content type that is no text would make BentoML's log fail in the middle of an answer.
    logging={"access": {"enabled": os.environ.get(ACCESS_LOG) == "1", "request_content_type": False}},
    # Four spans a request are made even where nothing is set up to take them, and cost half a millisecond.
    tracing={"excluded_urls": [] if os.environ.get(TRACING) == "1" else [".*"]},
)
@bentoml.asgi_app(page, path="/")
@bentoml.asgi_app(api, path="/v1")
class Recommend:
    """Recommendations over HTTP; the routes are in `serving.api`, the page at ``/`` in `serving.page`."""

    def __init__(self) -> None:
        """Open the engine. Imported only here: the process that starts the worker needs no Feast."""
        with unchecked():
            from serving.authentication import Gate
            from serving.engine import Engine
            from serving.event_log import WRITER
            from serving.key_ring import KeyRing
            from serving.turn import Threads

        self._keys = KeyRing(keys_path())
        api.gate, api.workers = Gate(self._keys), workers()
        self._engine = api.engine = Engine()
        self._keys.start()
        if os.environ.get(PIN) == "1":
            # The event loop's thread, those of requests, which it starts below, and the log's writer.
            pin(bentoml.server_context.worker_index or 1, WRITER)
        self._threads = api.threads = Threads()

    @bentoml.on_shutdown
    def close(self) -> None:
        """Write out the log."""
        self._threads.close()
        self._keys.close()
        self._engine.close()
