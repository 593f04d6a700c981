"""What goes over HTTP: the requests and answers of ``/v1``, with their bounds. The one source of the OpenAPI document."""

from serving.contract.base import MAX_BATCH, MAX_ID, MAX_LIMIT, MAX_REQUESTS, MAX_TOKEN
from serving.contract.explain import ExplainRequest, ExplainResponse, Rival, StageCount, Verdict
from serving.contract.operations import (
    ContextDescription,
    HealthResponse,
    IdsRequest,
    IdsResponse,
    PartHealth,
    RecommenderDescription,
    RecommendersResponse,
    VariantDescription,
)
from serving.contract.outcomes import OutcomeEvent, OutcomesRequest, OutcomesResponse
from serving.contract.recommend import (
    BatchAnswer,
    BatchRequest,
    BatchResponse,
    Candidates,
    Item,
    Reason,
    RecommendRequest,
    RecommendResponse,
)

__all__ = [
    "MAX_BATCH",
    "MAX_ID",
    "MAX_LIMIT",
    "MAX_REQUESTS",
    "MAX_TOKEN",
    "BatchAnswer",
    "BatchRequest",
    "BatchResponse",
    "Candidates",
    "ContextDescription",
    "ExplainRequest",
    "ExplainResponse",
    "HealthResponse",
    "IdsRequest",
    "IdsResponse",
    "Item",
    "OutcomeEvent",
    "OutcomesRequest",
    "OutcomesResponse",
    "PartHealth",
    "Reason",
    "RecommendRequest",
    "RecommendResponse",
    "RecommenderDescription",
    "RecommendersResponse",
    "Rival",
    "StageCount",
    "VariantDescription",
    "Verdict",
]
