"""What a request wants beyond a plain list, checked against its recommender's declaration."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from feature_repo.identity import UNKNOWN
from feature_repo.recommender import SOURCE, Recommender
from serving.contract import RecommendRequest
from serving.expressions import BadExpression, Expression, Type, parse
from serving.names import Identities
from serving.problems import FieldError, pointer


@dataclass(frozen=True, eq=False)
class Wish:
    """The parts of a request that shape the list.

    Args:
        filter: Holds for every item that may be answered.
        boost: Is added to the scores.
        diversity: From 0 to 1, how much likeness to the items before counts against an item.
        caps: How many items may share a value of an attribute, `SOURCE` or a feature.
        offered: The caller's own candidates, int64 ``[offered]``, without those that are unknown here.
        instead: Whether nobody else may be answered.
        dry_run: Whether nothing is logged.
        explain: Whether each item is to have its reasons.
        unknown: How many of the caller's candidates are unknown here.
    """

    filter: Expression | None = None
    boost: Expression | None = None
    diversity: float = 0.0
    caps: Mapping[str, int] = field(default_factory=dict)
    offered: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    instead: bool = False
    dry_run: bool = False
    explain: bool = False
    unknown: int = 0

    @property
    def needs_features(self) -> bool:
        """Whether features are looked at even where nothing is ranked by them."""
        attributes = [name for name in self.caps if name != SOURCE]
        return bool(self.filter or self.boost or self.diversity or attributes)


def wish(recommender: Recommender, names: Identities, workspace: int, request: RecommendRequest) -> Wish:
    """The wish of a request that has no `errors`."""
    offered, unknown = np.zeros(0, np.int64), 0
    if request.candidates is not None:
        ids = names.lookup(workspace, recommender.candidate_kind, request.candidates.ids)
        known = ids[ids != UNKNOWN]
        _, first = np.unique(known, return_index=True)
        offered, unknown = known[np.sort(first)], len(ids) - len(known)
    return Wish(
        filter=_parsed(recommender, request.filter, "boolean"),
        boost=_parsed(recommender, request.boost, "number"),
        diversity=recommender.diversity if request.diversity is None else request.diversity,
        caps=recommender.caps if request.caps is None else request.caps,
        offered=offered,
        instead=request.candidates is not None and request.candidates.mode == "instead",
        dry_run=request.dry_run,
        explain=request.explain,
        unknown=unknown,
    )


def errors(recommender: Recommender, request: RecommendRequest) -> Iterator[FieldError]:
    """What of the request does not fit the declaration."""
    expressions: tuple[tuple[str, str | None, Type], ...] = (
        ("filter", request.filter, "boolean"),
        ("boost", request.boost, "number"),
    )
    for name, text, wanted in expressions:
        try:
            _parsed(recommender, text, wanted)
        except BadExpression as error:
            yield FieldError(pointer=pointer((name,)), detail=str(error))
    if request.diversity and not recommender.alike_by:
        yield FieldError(
            pointer=pointer(("diversity",)),
            detail=f"{recommender.name} declares no likeness: leave it out, or send 0",
        )
    for name in request.caps or ():
        if name != SOURCE and name not in recommender.feature_names:
            known = ", ".join((SOURCE, *recommender.feature_names))
            yield FieldError(
                pointer=pointer(("caps", name)),
                detail=f"is no attribute of {recommender.name}: choose from {known}",
            )


def document(wish: Wish) -> dict[str, object]:
    """The wish for the log, in what JSON knows; of what it does not ask there is nothing."""
    found: dict[str, object] = {
        "filter": wish.filter.text if wish.filter else None,
        "boost": wish.boost.text if wish.boost else None,
        "diversity": wish.diversity,
        "caps": dict(wish.caps),
        "offered": wish.offered.tolist(),
        "instead": wish.instead,
    }
    return {name: value for name, value in found.items() if value}


def _parsed(recommender: Recommender, text: str | None, wanted: Type) -> Expression | None:
    return None if text is None else parse(text, wanted, recommender.attribute_names)
