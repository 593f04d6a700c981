"""The BentoML service: ``bentoml serve serving.service:Recommend``."""

import os

# Before BentoML and Feast are imported: neither may send usage data anywhere.
os.environ |= {"BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "1", "FEAST_USAGE": "False"}

import bentoml
from bentoml._internal.utils.analytics import usage_stats

from feature_repo.home import keys_path
from serving.api import Api
from serving.page import page

# `bentoml serve` has asked, and remembered the answer, before it imports this module.
usage_stats.do_not_track.cache_clear()

api = Api()


@bentoml.service(name="recommend", workers=1)
@bentoml.asgi_app(page, path="/")
@bentoml.asgi_app(api, path="/v1")
class Recommend:
    """Recommendations over HTTP; the routes are in `serving.api`, the page at ``/`` in `serving.page`."""

    def __init__(self) -> None:
        """Open the engine. Imported only here: the process that starts the worker needs no Feast."""
        from serving.authentication import Gate
        from serving.engine import Engine
        from serving.key_ring import KeyRing

        self._keys = KeyRing(keys_path())
        api.gate = Gate(self._keys)
        self._engine = api.engine = Engine()
        self._keys.start()

    @bentoml.on_shutdown
    def close(self) -> None:
        """Write out the log."""
        self._keys.close()
        self._engine.close()
