"""What goes over HTTP: the requests and answers of ``/v1``, with their bounds. The one source of the OpenAPI document."""

from serving.contract.base import MAX_BATCH, MAX_ID, MAX_LIMIT, MAX_REQUESTS
from serving.contract.explain import ExplainRequest, ExplainResponse, Rival, StageCount, Verdict
from serving.contract.operations import (
    HealthResponse,
    PartHealth,
    RecommenderDescription,
    RecommendersResponse,
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
    "BatchAnswer",
    "BatchRequest",
    "BatchResponse",
    "Candidates",
    "ExplainRequest",
    "ExplainResponse",
    "HealthResponse",
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
    "Verdict",
]
