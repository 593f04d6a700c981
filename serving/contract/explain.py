"""``/v1/explain``."""

from typing import Literal

from pydantic import BaseModel, Field

from serving.contract.base import RawId
from serving.contract.recommend import Reason, RecommendRequest


class ExplainRequest(RecommendRequest):
    """A request for recommendations, and the candidate in question. Nothing is logged."""

    candidate: RawId = Field(description="Your id of the candidate", examples=["C42"])


Verdict = Literal[
    "shown",
    "unknown",
    "not-retrieved",
    "excluded",
    "filtered",
    "capped",
    "outranked",
    "too-alike",
    "forgotten",
    "displaced",
]


class StageCount(BaseModel):
    """How many candidates a stage left."""

    stage: str = Field(description="Its name", examples=["filter"])
    candidates: int = Field(description="How many were left after it", examples=[217])


class Rival(BaseModel):
    """The last item that was shown, which an outranked candidate did not beat."""

    id: str = Field(description="Your id of it", examples=["C17"])
    rank: int = Field(description="Its position in the answer", examples=[10])
    score: float = Field(description="Its score", examples=[1.21])
    ahead_by: list[Reason] = Field(
        description="The features by which it has the better score, with the values of the candidate in question"
    )


class ExplainResponse(BaseModel):
    """Why a candidate is, or is not, in the answer."""

    verdict: Verdict = Field(
        description="`shown`; `unknown` here; `not-retrieved` by any source; `excluded` by the request, or the asker "
        "themselves; `filtered` by the request's filter; `capped` by its caps; `outranked`; `too-alike`, as items with "
        "lower scores were chosen for diversity; `forgotten`, its id was erased; `displaced` by exploration",
        examples=["outranked"],
    )
    detail: str = Field(
        description="The same as a person reads it",
        examples=["ranked 14th, and 10 items are shown: C17 is the last"],
    )
    rank: int | None = Field(description="Its position in the whole ranking; 1 is the top", examples=[14])
    score: float | None = Field(description="Its score, once it was scored", examples=[0.93])
    sources: list[str] = Field(description="The sources that named it", examples=[["by_neighbours"]])
    reasons: list[Reason] = Field(description="The features that raised its score most")
    beaten_by: Rival | None = Field(
        description="Where it was outranked",
        examples=[{"id": "C17", "rank": 10, "score": 1.21, "ahead_by": []}],
    )
    rung: str = Field(description="What ranked", examples=["lightgbm"])
    model_version: str = Field(description="Of the scorer", examples=["y2fvkdq4usq2sjvo"])
    stages: list[StageCount] = Field(description="How many candidates were left after each stage, in order")
