"""What the service is measured against: an empty endpoint, and Feast's stock read with the same model, in BentoML."""

import json
import os

os.environ |= {"BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "1", "FEAST_USAGE": "False"}

import bentoml
import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

app = Starlette()


@bentoml.service(name="stock", workers=1)
@bentoml.asgi_app(app, path="/bench")
class Stock:
    """Two routes."""

    def __init__(self) -> None:
        """Open Feast's store and load the ranker."""
        from feast import FeatureStore

        from benchmarks._serving_home import stock_config
        from feature_repo.home import feast_path
        from training import bundle

        store = FeatureStore(config=stock_config())
        service = store.get_feature_service("items_500")
        ids = json.loads((feast_path() / "ids.json").read_text())
        card = next(c for c in bundle.cards("items_500") if c.ranker == "xgboost")
        ranker = bundle.load("items_500", card.version).ranker

        async def empty(request: Request) -> Response:
            await request.body()
            return Response(b"{}", media_type="application/json")

        async def stock(request: Request) -> Response:
            await request.body()
            keys = {"user_id": [ids["users"][0]] * len(ids["items"]), "item_id": ids["items"]}
            read = store.get_online_features(service, keys, full_feature_names=True).to_dict()
            columns = [read[name] for name in card.feature_names]
            scores = ranker.score(np.ascontiguousarray(np.array(columns, np.float32).T))
            best = np.argsort(-scores)[:10].tolist()
            return Response(json.dumps(best).encode(), media_type="application/json")

        app.router.routes += [
            Route("/empty", empty, methods=["POST"]),
            Route("/stock", stock, methods=["POST"]),
        ]
