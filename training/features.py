"""As-of joins through Feast: the only way by which training sees a feature or a candidate."""

from functools import cache

import numpy as np
import pandas as pd
from feast import FeatureStore
from feast.errors import FeastObjectNotFoundException

from feature_repo.catalog import feast_repo
from feature_repo.errors import RecommendError
from feature_repo.recommender import Recommender
from training.rankers import Matrix

_ROW = "row_number"


@cache
def feature_store() -> FeatureStore:
    """Feast's handle on the repo, opened once per process."""
    return FeatureStore(repo_path=str(feast_repo()))


def candidate_lists(recommender: Recommender, spine: pd.DataFrame) -> pd.DataFrame:
    """The candidate lists of each query as of its instant.

    Args:
        recommender: Whose sources to read.
        spine: Columns: the query's join key, ``event_timestamp``.

    Returns:
        The spine's rows in their order with one column per source: a list of ids, or a null.
    """
    references = [f"{recommender.candidates.name}:{s.column}" for s in recommender.sources]
    joined = _as_of(spine, references)
    for source in recommender.sources:  # pandas has NaN where there is no list at all
        joined[source.column] = joined[source.column].where(joined[source.column].notna(), None)
    return joined


def popular_lists(recommender: Recommender, spine: pd.DataFrame) -> pd.DataFrame:
    """The popular list of each workspace as of each instant; ``spine`` has ``workspace_id, event_timestamp``."""
    return _as_of(spine, [f"{recommender.popular.name}:{recommender.popular_column}"])


def feature_matrix(recommender: Recommender, pairs: pd.DataFrame) -> Matrix:
    """What serving would have fed the ranker for each pair at its instant.

    Args:
        recommender: Whose feature service to join.
        pairs: Columns: both join keys, ``event_timestamp``.

    Returns:
        ``[len(pairs), features]`` float32 in `Recommender.feature_names` order, NaN where there was no value.

    Raises:
        RecommendError: Feast does not know the service as it is declared today.
    """
    try:
        service = feature_store().get_feature_service(recommender.name)
    except FeastObjectNotFoundException:
        raise _not_applied(recommender) from None
    joined = _as_of(pairs, service, full_feature_names=True)
    if missing := [n for n in recommender.feature_names if n not in joined]:
        raise RecommendError(
            f"Feast's registry does not have {', '.join(missing)}: run `feast -c feature_repo apply`"
        )
    return np.ascontiguousarray(joined[list(recommender.feature_names)].to_numpy(np.float32, na_value=np.nan))


def _as_of(spine: pd.DataFrame, features: object, *, full_feature_names: bool = False) -> pd.DataFrame:
    # Feast's join may reorder rows; a row number brings the order back and shows that none was lost.
    numbered = spine.assign(**{_ROW: np.arange(len(spine))})
    try:
        job = feature_store().get_historical_features(
            numbered, features, full_feature_names=full_feature_names
        )
    except FeastObjectNotFoundException as error:
        raise RecommendError(f"{error}: run `feast -c feature_repo apply`") from None
    joined: pd.DataFrame = job.to_df().sort_values(_ROW, ignore_index=True)
    if len(joined) != len(spine):
        raise RuntimeError(f"the as-of join turned {len(spine)} rows into {len(joined)}")
    return joined.drop(columns=_ROW)


def _not_applied(recommender: Recommender) -> RecommendError:
    return RecommendError(
        f"Feast does not know the feature service {recommender.name}: run `feast -c feature_repo apply`"
    )
