"""A declaration is checked where it is written, and its hash changes with what the ranker's columns mean."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Float32, Float64, Int64

from feature_repo.errors import RecommendError
from feature_repo.experiment import Experiment, Variant
from feature_repo.recommender import CandidateSource, Outcome, Recommender

USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64, tags={"identity": "user"})
FILM = Entity(name="film", join_keys=["film_id"], value_type=ValueType.INT64, tags={"identity": "film"})
FRIEND = Entity(name="friend", join_keys=["friend_id"], value_type=ValueType.INT64, tags={"identity": "user"})
DAY = timedelta(days=1)


def view(name: str, entity: Entity, ttl: timedelta = DAY, **columns: Any) -> FeatureView:
    source = FileSource(name=name, path=f"{name}.parquet", timestamp_field="event_timestamp")
    schema = [Field(name=column, dtype=dtype) for column, dtype in columns.items()]
    return FeatureView(name=name, entities=[entity], schema=schema, source=source, ttl=ttl)


LISTS = view("film_candidates", USER, by_genre=Array(Int64), by_friends=Array(Int64))
ACTIVITY = view("film_activity", FILM, views_7d=Float32, age_days=Float32)
TASTE = view("taste", USER, films_seen=Float32)
OUTCOME = Outcome(name="watch", window=timedelta(days=7), sql="SELECT 1", once=True)


def declare(**changes: Any) -> Recommender:
    parts: dict[str, Any] = {
        "name": "tonight",
        "description": "Films to watch tonight",
        "query": USER,
        "candidate": FILM,
        "candidates": LISTS,
        "sources": (CandidateSource("by_genre", 50), CandidateSource("by_friends", 20)),
        "popular": view("popular_films", USER, films=Array(Int64)),
        "features": (ACTIVITY, TASTE),
        "heuristic": {"film_activity__views_7d": 1.0},
        "outcome": OUTCOME,
    }
    return Recommender(**parts | changes)


def test_names_come_from_the_entities_and_views() -> None:
    declared = declare()
    assert (declared.query_key, declared.candidate_key) == ("user_id", "film_id")
    assert (declared.query_kind, declared.candidate_kind) == ("user", "film")
    assert declared.popular_column == "films"
    assert declared.feature_names == (
        "film_activity__views_7d",
        "film_activity__age_days",
        "taste__films_seen",
    )


def test_a_view_can_be_seen_twice_under_another_name() -> None:
    """The asker's taste, and the friend's, who is the candidate."""
    theirs = TASTE.with_name("their_taste").with_join_key_map({"user_id": "friend_id"})
    declared = declare(candidate=FRIEND, features=(TASTE, theirs), heuristic={})
    assert declared.feature_names == ("taste__films_seen", "their_taste__films_seen")
    assert declared.candidate_kind == "user"
    other = declare(candidate=FRIEND, features=(TASTE, TASTE.with_name("their_taste")), heuristic={})
    assert declared.definition_hash != other.definition_hash, "the join key is part of the meaning"


def test_an_unknown_source_column_is_named_with_the_known_ones() -> None:
    sources = (CandidateSource("by_genre", 50), CandidateSource("by_stars", 20))
    with pytest.raises(RecommendError) as error:
        declare(sources=sources)
    assert str(error.value) == (
        "recommender tonight: film_candidates has no column by_stars; it has by_friends, by_genre"
    )


def test_an_unknown_heuristic_weight_is_named_with_the_known_features() -> None:
    with pytest.raises(
        RecommendError,
        match=r"tonight: the heuristic weighs taste__mood, views_7d, .* film_activity__views_7d, film_activity__",
    ):
        declare(heuristic={"views_7d": 1.0, "taste__mood": 2.0, "taste__films_seen": 0.1})


def test_an_entity_without_an_identity_kind_says_how_to_give_it_one() -> None:
    bare = Entity(name="film", join_keys=["film_id"], value_type=ValueType.INT64)
    with pytest.raises(RecommendError, match=r'entity film .* tags=\{"identity": KIND\}'):
        _ = declare(candidate=bare).candidate_kind


def test_the_same_declaration_has_the_same_hash() -> None:
    again = declare(features=(view("film_activity", FILM, views_7d=Float32, age_days=Float32), TASTE))
    assert again.definition_hash == declare().definition_hash


@pytest.mark.parametrize(
    "features",
    [
        (TASTE, ACTIVITY),
        (ACTIVITY,),
        (view("film_activity", FILM, age_days=Float32, views_7d=Float32), TASTE),
        (view("film_activity", FILM, 2 * DAY, views_7d=Float32, age_days=Float32), TASTE),
        (view("film_activity", FILM, views_7d=Float64, age_days=Float32), TASTE),
        (view("film_activity", FILM, views_7d=Float32, age_days=Float32, stars=Float32), TASTE),
        (ACTIVITY.with_name("film_activity_2"), TASTE),
    ],
    ids=["order of views", "a view less", "order of columns", "ttl", "type", "a column more", "name"],
)
def test_the_hash_changes_with_what_the_columns_mean(features: tuple[FeatureView, ...]) -> None:
    assert declare(features=features, heuristic={}).definition_hash != declare().definition_hash


@pytest.mark.parametrize(
    "change",
    [
        {"heuristic": {}},
        {"description": "other words"},
        {"sources": (CandidateSource("by_genre", 10),)},
        {"outcome": replace(OUTCOME, window=DAY)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_hash_does_not_change_with_what_a_ranker_does_not_see(change: dict[str, Any]) -> None:
    assert declare(**change).definition_hash == declare().definition_hash


def test_the_feature_service_has_the_rankers_columns_in_their_order() -> None:
    declared = declare()
    service = declared.feature_service()
    names = [f"{p.name_to_use()}__{f.name}" for p in service.feature_view_projections for f in p.features]
    assert service.name == "tonight"
    assert tuple(names) == declared.feature_names


def test_likeness_is_by_features_of_the_recommender() -> None:
    assert declare(alike_by=("film_activity__age_days",)).alike_by == ("film_activity__age_days",)
    with pytest.raises(
        RecommendError, match=r"alike_by names genre.*its features are film_activity__views_7d"
    ):
        declare(alike_by=("genre",))


def test_one_experiment_runs_at_an_instant() -> None:
    start = datetime(2025, 8, 1, tzinfo=UTC)
    arms = (Variant("a", 1), Variant("b", 1))
    first = Experiment("first", arms, start, start + DAY)
    second = Experiment("second", arms, start + DAY, start + 2 * DAY)
    found = declare(experiments=(second, first))
    assert found.experiment(start) == first
    assert found.experiment(start + DAY) == second
    assert found.experiment(start + 2 * DAY) is None
    early = Experiment("second", arms, start + DAY / 2, start + 2 * DAY)
    with pytest.raises(RecommendError, match="experiments first and second overlap"):
        declare(experiments=(first, early))
