"""The declaration of a recommender. Domain-free: a domain's files hold nothing but these parts filled in."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise

from feast import Entity, FeatureService, FeatureView

from feature_repo.context import PREFIX, ContextField
from feature_repo.discount import Discount
from feature_repo.errors import RecommendError
from feature_repo.experiment import Experiment
from feature_repo.exploration import Exploration

EVENT_TIMESTAMP = "event_timestamp"
SOURCE = "source"
"""An attribute that every candidate has: the first source that named it."""


@dataclass(frozen=True)
class CandidateSource:
    """One way of finding candidates: a list column of the recommender's candidate view, best first.

    Args:
        column: The column; answers and logs name the source by it.
        quota: How many of the list are taken.
    """

    column: str
    quota: int


@dataclass(frozen=True)
class Outcome:
    """What success is, and where it is seen when nobody was recommended anything (bootstrap labels).

    Args:
        name: As posted to ``/v1/outcomes`` and found in the log.
        window: A positive is an outcome in ``(t, t + window]`` after the query's instant ``t``.
        sql: DuckDB SQL over the event tables, answering the query's join key, the candidate's join key
            and ``event_timestamp``: every time somebody did it unprompted.
        once: Whether it can happen only once per pair, so that an accepted candidate is not offered again.
    """

    name: str
    window: timedelta
    sql: str
    once: bool


@dataclass(frozen=True)
class Recommender:
    """One declared use case.

    Args:
        name: Unique; the name in the API, the logs, the model store and Feast.
        description: One sentence, for people.
        query: The entity that asks. Its single join key names the column in every table.
        candidate: The entity that may be recommended.
        candidates: Feature view on the query entity whose columns are lists of candidate ids.
        sources: The columns of ``candidates`` that are used, with their quotas, in order of trust.
        popular: Feature view on the workspace entity with the one list column that serves a query
            about whom nothing is known.
        features: What a ranker sees, in order: views on the query, the candidate, or the pair.
        heuristic: Hand-tuned weights of day one, by feature name (``view__feature``).
        outcome: What success is.
        context: The request-time values that a caller may send along.
        alike_by: Features by which two candidates are alike, for requests that ask for diversity.
        diversity: How much of it a request gets that does not say, from 0 to 1.
        caps: How many items may share a value of an attribute, where the request does not say.
        discount: What an item loses that was just shown; none forgets what was shown.
        exploration: The policy outside experiments; none shows the ranker's own order.
        experiments: At most one of them runs at an instant.
        deadline: How long an answer may take where the request does not say. What is not ready then gives way to
            what is in memory.
    """

    name: str
    description: str
    query: Entity
    candidate: Entity
    candidates: FeatureView
    sources: tuple[CandidateSource, ...]
    popular: FeatureView
    features: tuple[FeatureView, ...]
    heuristic: Mapping[str, float]
    outcome: Outcome
    context: tuple[ContextField, ...] = ()
    alike_by: tuple[str, ...] = ()
    diversity: float = 0.0
    caps: Mapping[str, int] = field(default_factory=dict)
    discount: Discount | None = None
    exploration: Exploration | None = None
    experiments: tuple[Experiment, ...] = ()
    deadline: timedelta = timedelta(milliseconds=200)

    def __post_init__(self) -> None:
        columns = {f.name for f in self.candidates.features}
        if missing := [s.column for s in self.sources if s.column not in columns]:
            raise RecommendError(
                f"recommender {self.name}: {self.candidates.name} has no column {', '.join(missing)}; "
                f"it has {', '.join(sorted(columns))}"
            )
        if unknown := sorted(set(self.heuristic) - set(self.feature_names)):
            raise RecommendError(
                f"recommender {self.name}: the heuristic weighs {', '.join(unknown)}, which is no feature of it; "
                f"its features are {', '.join(self.feature_names)}"
            )
        if unknown := [name for name in self.alike_by if name not in self.feature_names]:
            raise RecommendError(
                f"recommender {self.name}: alike_by names {', '.join(unknown)}, which is no feature of it; "
                f"its features are {', '.join(self.feature_names)}"
            )
        if self.diversity and not (self.alike_by and 0 <= self.diversity <= 1):
            raise RecommendError(
                f"recommender {self.name}: diversity is from 0 to 1, and needs alike_by; it is {self.diversity}"
            )
        if unknown := [name for name in self.caps if name != SOURCE and name not in self.feature_names]:
            raise RecommendError(
                f"recommender {self.name}: caps names {', '.join(unknown)}, which is neither {SOURCE!r} nor a feature "
                f"of it; its features are {', '.join(self.feature_names)}"
            )
        if not self.deadline > timedelta(0):
            raise RecommendError(f"recommender {self.name}: the deadline {self.deadline} is not above 0")
        for one, other in pairwise(sorted(self.experiments, key=lambda e: e.starts)):
            if other.starts < one.ends:
                raise RecommendError(
                    f"recommender {self.name}: experiments {one.name} and {other.name} overlap; end one before the other"
                )

    def experiment(self, instant: datetime) -> Experiment | None:
        """The experiment that runs at ``instant``."""
        return next((e for e in self.experiments if e.runs(instant)), None)

    @property
    def query_key(self) -> str:
        """Join key of the query entity, e.g. ``user_id``."""
        return str(self.query.join_key)

    @property
    def candidate_key(self) -> str:
        """Join key of the candidate entity, e.g. ``channel_id``."""
        return str(self.candidate.join_key)

    @property
    def query_kind(self) -> str:
        """The kind that the vault interns query ids under, from the entity's tag ``identity``."""
        return _identity_kind(self.query)

    @property
    def candidate_kind(self) -> str:
        """The kind that the vault interns candidate ids under, from the entity's tag ``identity``."""
        return _identity_kind(self.candidate)

    @property
    def popular_column(self) -> str:
        """The list column of the ``popular`` view."""
        return str(self.popular.features[0].name)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Columns of the ranker's matrix, in order: ``view__feature``."""
        return tuple(
            f"{view.projection.name_to_use()}__{f.name}"
            for view in self.features
            for f in view.projection.features
        )

    @cached_property
    def attribute_names(self) -> frozenset[str]:
        """What a filter or boost may name: the features, and the numeric context as ``context__name``."""
        return frozenset((*self.feature_names, *(PREFIX + c.name for c in self.context if c.is_numeric)))

    @cached_property
    def declaration_hash(self) -> str:
        """Hash of all that shapes an answer besides the model: sources, heuristic, policies, stages. The log has it."""
        shape = (
            *(self.definition_hash, self.candidates.name, self.sources, self.popular.name),
            *(
                sorted(self.heuristic.items()),
                self.context,
                self.alike_by,
                self.diversity,
                sorted(self.caps.items()),
            ),
            *(self.discount, self.exploration, self.experiments, self.deadline),
        )
        return hashlib.blake2b(repr(shape).encode(), digest_size=8).hexdigest()

    @cached_property
    def definition_hash(self) -> str:
        """Hash of what the ranker's columns mean: names, order, types, keys, TTLs. A bundle keeps it."""
        meaning = [
            (p.name_to_use(), f.name, str(f.dtype), sorted(p.join_key_map.items()), str(view.ttl))
            for view in self.features
            for p in (view.projection,)
            for f in p.features
        ]
        return hashlib.blake2b(repr(meaning).encode(), digest_size=8).hexdigest()

    def feature_service(self) -> FeatureService:
        """The Feast feature service of this recommender: what its rankers see."""
        # Feast compares the projections of two services by sorting them, which fails between an alias and none.
        named = [v if v.projection.name_alias else v.with_name(v.name) for v in self.features]
        return FeatureService(name=self.name, features=named, description=self.description)


def _identity_kind(entity: Entity) -> str:
    if "identity" not in entity.tags:
        raise RecommendError(
            f"entity {entity.name} does not say whose ids it holds: declare it with "
            'tags={"identity": KIND}, the kind that ingest interns them under'
        )
    return str(entity.tags["identity"])
