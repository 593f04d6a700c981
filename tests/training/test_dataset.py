"""Cut-offs, the as-of joins behind a dataset, its split and its sampling."""

import shutil
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from feature_repo.catalog import recommender
from feature_repo.chat.events import MEMBERSHIPS, PUBLIC
from feature_repo.clock import midnight
from feature_repo.errors import RecommendError
from feature_repo.home import events_path, feast_path
from feature_repo.recommender import Recommender
from feature_repo.tables import partition
from tests.community import (
    AS_OF,
    CHANNEL_IDS,
    LISTED,
    MONDAY,
    NAME,
    PEOPLE,
    PLANTED_LIST,
    PLANTED_USER,
    POPULAR,
    TEST_CUTOFF,
    TUESDAY,
    USERS,
)
from tests.hand_made import write_channels, write_events, write_people
from tests.state_folder import state_folder
from training import dataset
from training.dataset import NEGATIVES_A_QUERY, NOT_POPULAR, SPACING, Dataset, Datasets, split_cutoffs
from training.features import candidate_lists, feature_matrix
from training.labels import positives

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def declared() -> Recommender:
    return recommender(NAME)


@pytest.fixture(scope="module")
def built(built_community: Path, declared: Recommender) -> Datasets:
    with state_folder(built_community):
        return dataset.build(declared, split_cutoffs(declared, AS_OF, 12, 1), AS_OF, seed=7)


def snapshots(declared: Recommender, days: list[datetime]) -> None:
    for day in days:
        partition(declared.candidates.name, day.date()).mkdir(parents=True)


def queries(data: Dataset) -> set[tuple[int, np.datetime64]]:
    return set(zip(data.query_ids.tolist(), data.cutoffs, strict=True))


def comembership(declared: Recommender, channel: int, at: datetime) -> float:
    pairs = pd.DataFrame(
        {"user_id": [PLANTED_USER], "channel_id": [channel], "event_timestamp": [pd.Timestamp(at)]}
    )
    column = declared.feature_names.index("user_channel_affinity__comembership")
    return float(feature_matrix(declared, pairs)[0, column])


class TestCutoffs:
    """Which snapshots are asked about."""

    def test_daily_snapshots_are_thinned_and_a_window_lies_between_train_and_test(
        self, empty_home: Path, declared: Recommender
    ) -> None:
        days = [midnight(d.date()) for d in pd.date_range("2025-01-01", "2025-06-30")]
        snapshots(declared, days)
        as_of, window = datetime(2025, 6, 30, 12, tzinfo=UTC), declared.outcome.window
        split = split_cutoffs(declared, as_of, 5, 2)
        assert split.test == (datetime(2025, 5, 24, tzinfo=UTC), datetime(2025, 5, 31, tzinfo=UTC))
        assert split.test[-1] + window <= as_of < split.test[-1] + window + timedelta(days=1)
        assert len(split.train) == 5
        assert split.train[-1] + window <= split.test[0] < split.train[-1] + window + SPACING
        gaps = np.diff([c.timestamp() for c in split.train])
        assert (gaps == SPACING.total_seconds()).all()

    def test_weekly_snapshots_are_all_used_the_last_first(
        self, community: Path, declared: Recommender
    ) -> None:
        split = split_cutoffs(declared, AS_OF, 3, 1)
        assert split.test == (TEST_CUTOFF,)
        assert [f"{c:%m-%d}" for c in split.train] == ["06-02", "06-09", "06-16"]

    def test_no_snapshot_names_the_command_that_builds_them(
        self, empty_home: Path, declared: Recommender
    ) -> None:
        with pytest.raises(
            RecommendError, match=r"channel_candidates has no snapshot.*`recommend tables --as-of 2025-08-25`"
        ):
            split_cutoffs(declared, AS_OF, 12, 1)

    def test_too_little_history_names_what_to_change(self, empty_home: Path, declared: Recommender) -> None:
        snapshots(declared, [AS_OF - timedelta(days=n) for n in (30, 37, 44)])
        with pytest.raises(
            RecommendError, match=r"30 days before the first test cut-off 2025-07-26.*--since.*--test-cutoffs"
        ):
            split_cutoffs(declared, AS_OF, 12, 1)


class TestAsOf:
    """What a join sees of the planted rows: 1 on Monday, 99 from Tuesday on."""

    @pytest.mark.parametrize(
        ("at", "value"),
        [
            (MONDAY - SECOND, np.nan),
            (MONDAY, 1.0),
            (TUESDAY - SECOND, 1.0),
            (TUESDAY, 99.0),
            (TUESDAY + timedelta(days=8), 99.0),
            (TUESDAY + timedelta(days=8) + SECOND, np.nan),
        ],
        ids=["before", "its own instant", "a second before the next", "the next", "8 days old", "expired"],
    )
    def test_a_feature_holds_from_its_instant_for_eight_days(
        self, community: Path, declared: Recommender, at: datetime, value: float
    ) -> None:
        np.testing.assert_equal(comembership(declared, CHANNEL_IDS[0], at), value)

    def test_a_pair_that_no_table_has_is_missing(self, community: Path, declared: Recommender) -> None:
        assert np.isnan(comembership(declared, CHANNEL_IDS[1], MONDAY))

    @pytest.mark.parametrize(
        ("at", "place"), [(MONDAY - SECOND, 2), (MONDAY, 0), (MONDAY + timedelta(days=6), 0)]
    )
    def test_candidates_are_those_of_the_last_snapshot(
        self, community: Path, declared: Recommender, at: datetime, place: int
    ) -> None:
        spine = pd.DataFrame({"user_id": [PLANTED_USER], "event_timestamp": [pd.Timestamp(at)]})
        (row,) = candidate_lists(declared, spine).to_dict("records")
        assert list(row["by_comembership"]) == [PLANTED_LIST[place]]
        assert row["by_neighbours"] is None

    def test_the_rows_come_back_in_the_order_of_the_spine(
        self, community: Path, declared: Recommender
    ) -> None:
        pairs = pd.DataFrame(
            {
                "user_id": USERS[3],
                "channel_id": CHANNEL_IDS,
                "event_timestamp": pd.Timestamp(TEST_CUTOFF),
            }
        )
        matrix = feature_matrix(declared, pairs)
        mixed = np.random.default_rng(1).permutation(len(pairs))
        np.testing.assert_array_equal(feature_matrix(declared, pairs.iloc[mixed]), matrix[mixed])
        assert matrix.shape == (len(CHANNEL_IDS), len(declared.feature_names))
        assert matrix.dtype == np.float32
        assert matrix.flags.c_contiguous

    def test_the_dataset_holds_the_planted_rows_of_its_cutoff(self, built: Datasets) -> None:
        """The planted user's one positive is a channel that no source found: it counts all the same."""
        mine = built.test.query_ids == PLANTED_USER
        assert built.test.candidate_ids[mine].tolist() == [PLANTED_LIST[0]]
        assert built.test.labels[mine].tolist() == [0]
        group = np.flatnonzero(built.test.query_ids[built.test.starts] == PLANTED_USER)
        assert built.test.positives[group].tolist() == [1]


class TestCandidates:
    """What is offered to a query."""

    def test_sources_are_cut_to_their_quota_in_order_of_trust(
        self, built: Datasets, declared: Recommender
    ) -> None:
        quota = declared.sources[0].quota
        assert quota < LISTED
        sizes = dict(zip(built.test.query_ids[built.test.starts], built.test.group_sizes, strict=True))
        assert all(quota <= sizes[u] <= quota + len(POPULAR) for u in USERS)
        user = built.test.candidate_ids[built.test.query_ids == USERS[0]]
        assert len(set(user)) == len(user)
        assert set(POPULAR) <= set(user)

    def test_labels_are_the_positives_among_the_candidates(
        self, built: Datasets, community: Path, declared: Recommender
    ) -> None:
        acts = positives(declared, [TEST_CUTOFF], AS_OF).to_pydict()
        did = set(zip(acts["user_id"], acts["channel_id"], strict=True))
        pairs = zip(built.test.query_ids.tolist(), built.test.candidate_ids.tolist(), strict=True)
        assert built.test.labels.tolist() == [int(pair in did) for pair in pairs]
        assert built.test.positives.sum() == len(did)

    def test_popularity_is_minus_the_place_in_the_list(self, built: Datasets) -> None:
        place = {channel: -float(n) for n, channel in enumerate(POPULAR, start=1)}
        expected = [place.get(c, NOT_POPULAR) for c in built.test.candidate_ids.tolist()]
        assert built.test.popularity.tolist() == expected
        assert set(place.values()) <= set(expected)


class TestSplit:
    """Train, validation and test."""

    def test_no_user_is_in_both_train_and_validation(self, built: Datasets) -> None:
        train, validation = set(built.train.query_ids), set(built.validation.query_ids)
        assert train
        assert validation
        assert not train & validation
        assert len(train | validation) == PEOPLE

    def test_no_training_label_reaches_into_the_test(self, built: Datasets, declared: Recommender) -> None:
        last = max(built.train.cutoffs.max(), built.validation.cutoffs.max())
        assert last + np.timedelta64(declared.outcome.window) <= built.test.cutoffs.min()

    def test_negatives_of_training_queries_are_sampled_and_every_positive_is_kept(
        self, built: Datasets, community: Path, declared: Recommender
    ) -> None:
        split = split_cutoffs(declared, AS_OF, 12, 1)
        whole = dataset.assemble(declared, split.train, AS_OF)
        mine = whole.rows(np.isin(whole.query_ids, built.train.query_ids))
        np.testing.assert_array_equal(built.train.positives, mine.positives)
        kept = np.add.reduceat(built.train.labels, built.train.starts, dtype=np.int64)
        np.testing.assert_array_equal(kept, np.add.reduceat(mine.labels, mine.starts, dtype=np.int64))
        assert (mine.group_sizes - kept > NEGATIVES_A_QUERY).all(), "there was something to leave out"
        assert (built.train.group_sizes - kept == NEGATIVES_A_QUERY).all()
        held = whole.rows(np.isin(whole.query_ids, built.validation.query_ids))
        np.testing.assert_array_equal(built.validation.candidate_ids, held.candidate_ids)

    def test_the_kept_negatives_are_not_the_head_of_the_lists(self, built: Datasets) -> None:
        """Were the first ones kept, no candidate of the last source would be seen."""
        negatives = built.train.candidate_ids[built.train.labels == 0]
        share = np.isin(negatives, POPULAR).mean()
        assert share == pytest.approx(len(POPULAR) / len(CHANNEL_IDS), abs=0.05)

    def test_the_same_seed_gives_the_same_rows_and_another_one_does_not(
        self, built: Datasets, community: Path, declared: Recommender
    ) -> None:
        split = split_cutoffs(declared, AS_OF, 12, 1)
        again, other = (dataset.build(declared, split, AS_OF, seed) for seed in (7, 8))
        for name in (f.name for f in fields(Dataset) if f.name != "feature_names"):
            np.testing.assert_array_equal(getattr(again.train, name), getattr(built.train, name))
        assert queries(other.validation) != queries(built.validation)


class TestErrors:
    """What stops a dataset from being built, and what mends it."""

    def test_no_outcome_in_the_windows(self, own_community: Path, declared: Recommender) -> None:
        shutil.rmtree(events_path() / MEMBERSHIPS.name)
        split = split_cutoffs(declared, AS_OF, 12, 1)
        with pytest.raises(RecommendError, match=r"no join within 30 days of 2025-07-21: nothing to learn"):
            dataset.build(declared, split, AS_OF, 7)

    def test_feast_was_not_applied(self, own_community: Path, declared: Recommender) -> None:
        shutil.rmtree(feast_path())
        split = split_cutoffs(declared, AS_OF, 12, 1)
        with pytest.raises(RecommendError, match=r"run `feast -c feature_repo apply`"):
            dataset.build(declared, split, AS_OF, 7)

    def test_the_feature_service_was_not_applied(self, community: Path, declared: Recommender) -> None:
        renamed = replace(declared, name="not_applied")
        pairs = pd.DataFrame(
            {"user_id": [USERS[0]], "channel_id": [POPULAR[0]], "event_timestamp": [pd.Timestamp(MONDAY)]}
        )
        with pytest.raises(RecommendError, match=r"feature service not_applied: run `feast -c feature_repo"):
            feature_matrix(renamed, pairs)

    def test_one_user_is_too_few_to_hold_any_out(self, own_community: Path, declared: Recommender) -> None:
        shutil.rmtree(events_path())
        write_people(AS_OF - timedelta(days=300), [USERS[0]])
        write_channels(AS_OF - timedelta(days=300), dict.fromkeys(CHANNEL_IDS, PUBLIC))
        split = split_cutoffs(declared, AS_OF, 12, 1)
        days = [c + timedelta(days=1) for c in (*split.train, *split.test)]
        joins = [
            {"user_id": USERS[0], "channel_id": POPULAR[n], "joined": True, "at": day}
            for n, day in enumerate(days)
        ]
        write_events(MEMBERSHIPS, joins)
        with pytest.raises(RecommendError, match=r"users of channel_browser have 0 positives.*ingest more"):
            dataset.build(declared, split, AS_OF, 7)


@st.composite
def datasets(draw: st.DrawFn) -> tuple[Dataset, np.ndarray]:
    """Rows of up to eight queries, neighbours sharing the user or the cut-off; and which rows to choose."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=8))
    n, groups = sum(sizes), len(sizes)
    which = np.repeat(np.arange(groups), sizes)
    start = np.datetime64("2025-01-06", "us")
    labels = draw(arrays.arrays(np.int8, n, elements=st.integers(0, 1)))
    missed = draw(arrays.arrays(np.int64, groups, elements=st.integers(0, 3)))
    data = Dataset(
        feature_names=("row",),
        features=np.arange(n, dtype=np.float32)[:, None],
        labels=labels,
        query_ids=(which // 2).astype(np.int64),
        candidate_ids=np.arange(n),
        cutoffs=start + np.timedelta64(7, "D") * which,
        popularity=np.zeros(n, np.float32),
        positives=np.bincount(which, labels, groups).astype(np.int64) + missed,
    )
    return data, draw(arrays.arrays(np.bool_, n))


class TestRows:
    """Choosing rows keeps what belongs together."""

    @given(datasets())
    def test_starts_sizes_and_positives_stay_those_of_the_queries_left(
        self, drawn: tuple[Dataset, np.ndarray]
    ) -> None:
        data, chosen = drawn
        left = data.rows(chosen)
        known = dict(zip(data.cutoffs[data.starts], data.positives, strict=True))
        assert left.features[:, 0].tolist() == np.flatnonzero(chosen).tolist()
        assert left.group_sizes.sum() == chosen.sum() == len(left.labels)
        assert len(left.starts) == len(left.group_sizes) == len(left.positives)
        assert (left.group_sizes > 0).all()
        assert left.positives.tolist() == [known[c] for c in left.cutoffs[left.starts]]
        for start, size in zip(left.starts, left.group_sizes, strict=True):
            assert len(set(left.cutoffs[start : start + size])) == 1

    @given(datasets())
    def test_all_rows_are_the_dataset_itself(self, drawn: tuple[Dataset, np.ndarray]) -> None:
        data, _ = drawn
        same = data.rows(np.ones(len(data.labels), bool))
        np.testing.assert_array_equal(same.starts, data.starts)
        np.testing.assert_array_equal(same.positives, data.positives)
