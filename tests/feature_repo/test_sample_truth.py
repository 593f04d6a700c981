"""The truth behind a generated workspace: what it says, and that it is what happens."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from feature_repo.chat.sample import World, sample_world
from feature_repo.chat.sample.activity import days_of_activity
from feature_repo.chat.sample.contacts import ContactMemory
from feature_repo.chat.sample.draws import draw_columns, draw_within, first_valid
from feature_repo.chat.sample.memberships import MEMBER
from feature_repo.chat.sample.population import populate
from feature_repo.chat.sample.preferences import ContactPreference, JoinPreference
from feature_repo.chat.sample.rhythm import ALWAYS, DAY, HOUR, OFFSETS, times_of_day, volume
from feature_repo.clock import midnight

CUT_DAY = 150


@pytest.fixture(scope="module")
def world() -> World:
    """The world of the default size."""
    return sample_world()


def cut(world: World) -> datetime:
    """Thirty days before its end."""
    return midnight(world.setting.start) + timedelta(days=CUT_DAY)


def joined_later(world: World) -> NDArray[np.bool_]:
    """Whether each user joined each public channel in the 30 days after the cut."""
    stays, public = world.memberships, world.setting.channels.public
    later = (stays.joined >= CUT_DAY * DAY) & (stays.channel < public)
    relevant = np.zeros((len(world.setting.population), public), np.bool_)
    relevant[stays.user[later], stays.channel[later]] = True
    return relevant


def mean_ndcg(
    scores: NDArray[np.floating], relevant: NDArray[np.bool_], candidates: NDArray[np.bool_]
) -> float:
    """NDCG@10 with binary gains, over the rows that have a relevant candidate."""
    relevant = relevant & candidates
    rows = relevant.any(axis=1)
    best = np.argsort(-np.where(candidates, scores, -np.inf)[rows], axis=1, kind="stable")[:, :10]
    discount = 1 / np.log2(np.arange(2, 12))
    gain = np.take_along_axis(relevant[rows], best, axis=1) @ discount
    ideal = np.cumsum(discount)[np.minimum(relevant[rows].sum(axis=1), 10) - 1]
    return float((gain / ideal).mean())


def test_the_truth_ranks_channels_better_than_popularity_and_popularity_better_than_chance(
    world: World,
) -> None:
    relevant = joined_later(world)
    everybody = np.arange(len(world.setting.population))
    standing = world.standing(cut(world))
    open_now = world.setting.channels.open(CUT_DAY)[: standing.shape[1]]
    candidates = (standing != MEMBER) & open_now & world.setting.population.present(CUT_DAY)[:, None]
    joined = relevant & candidates
    assert joined.sum() >= 800
    assert joined.any(axis=1).sum() >= 400

    members = np.broadcast_to((standing == MEMBER).sum(axis=0), standing.shape).astype(float)
    oracle = mean_ndcg(world.join_probability(everybody, cut(world)), relevant, candidates)
    popularity = mean_ndcg(members, relevant, candidates)
    chance = mean_ndcg(np.random.default_rng(0).random(standing.shape), relevant, candidates)
    assert oracle >= 1.3 * popularity
    assert popularity >= 1.5 * chance


def test_neighbours_and_comembership_tell_more_than_popularity(world: World) -> None:
    relevant = joined_later(world)
    standing = world.standing(cut(world))
    candidates = (standing != MEMBER) & world.setting.channels.open(CUT_DAY)[: standing.shape[1]]
    member = (standing == MEMBER).astype(float)
    size = member.sum(axis=0)
    similar = member @ (member.T @ member / np.sqrt(np.outer(size + 1, size + 1)))
    everybody, channels = np.arange(len(member)), np.arange(member.shape[1])
    neighbours = world.setting.colleagues_share(everybody, channels, standing)
    popularity = mean_ndcg(np.broadcast_to(size, member.shape), relevant, candidates)
    assert mean_ndcg(similar, relevant, candidates) >= 1.2 * popularity
    assert mean_ndcg(neighbours, relevant, candidates) >= 1.2 * popularity


def test_joins_come_as_often_as_the_truth_says(world: World) -> None:
    everybody = np.arange(len(world.setting.population))
    expected = sum(
        float(world.join_probability(everybody, cut(world) + timedelta(days=n)).sum()) for n in range(30)
    )
    stays, channels = world.memberships, world.setting.channels
    chosen = (stays.channel < channels.public) & (stays.channel > 0) & (stays.joined >= CUT_DAY * DAY)
    created = stays.joined == channels.birth[stays.channel]
    observed = int((chosen & ~created).sum())
    assert abs(observed - expected) < 4 * expected**0.5


def test_the_truth_offers_no_channel_that_cannot_be_joined(world: World) -> None:
    users = np.array([0, 5, 77])
    probability = world.join_probability(users, cut(world))
    standing = world.standing(cut(world))[users]
    open_now = world.setting.channels.open(CUT_DAY)[: standing.shape[1]]
    assert (probability[standing == MEMBER] == 0).all()
    assert (probability[:, ~open_now] == 0).all()
    assert ((probability >= 0) & (probability < 1)).all()
    assert probability.max() > 0


@given(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5000), st.integers(0, 400)))
def test_every_motive_raises_the_acceptance(motives: tuple[float, float, int, int]) -> None:
    cosine, share, members, age = motives

    def accept(cosine: float, share: float, members: float, age: float, left: bool = False) -> float:
        accepted = JoinPreference().acceptance(
            cosine=np.full((1, 1), cosine, np.float32),
            share=np.full((1, 1), share, np.float32),
            members=np.full(1, members, np.float32),
            age_days=np.full(1, age, np.float32),
            left=np.full((1, 1), left),
        )
        return float(accepted[0, 0])

    base = accept(cosine, share, members, age)
    assert 0 < base < 1
    assert accept(cosine + 0.1, share, members, age) > base
    assert accept(cosine, share + 0.1, members, age) > base
    assert accept(cosine, share, members * 2 + 1, age) > base
    assert accept(cosine, share, members, age + 400) <= base
    assert accept(cosine, share, members, age, left=True) < base


@pytest.fixture
def memory() -> ContactMemory:
    return ContactMemory(populate(np.random.default_rng(3), 40, 30), ContactPreference())


def weight_of(memory: ContactMemory, user: int, person: int, instant: int) -> float:
    people, weights = memory.pool(np.array([user]), instant)
    return float(weights[people == person].sum())


def test_contacts_return_fade_and_are_answered(memory: ContactMemory) -> None:
    before = weight_of(memory, 1, 2, 0), weight_of(memory, 2, 1, 0)
    memory.record(np.array([1, 1]), np.array([2, 2]), np.array([0, 0]))
    assert weight_of(memory, 1, 2, 0) == pytest.approx(before[0] + 2.0)
    assert weight_of(memory, 2, 1, 0) == pytest.approx(before[1] + 1.2)
    assert weight_of(memory, 1, 2, 10 * DAY) == pytest.approx(before[0] + 2 / np.e)


def test_the_memory_keeps_the_latest_contacts(memory: ContactMemory) -> None:
    unmet = weight_of(memory, 1, 2, 0)
    memory.record(np.array([1]), np.array([2]), np.array([0]))
    memory.record(np.full(100, 1), np.full(100, 3), np.arange(100))
    assert weight_of(memory, 1, 2, 100) == pytest.approx(unmet)
    assert weight_of(memory, 1, 3, 100) > 40


def contacts_of(world: World, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Users, their partners, and the days of every addressing mention and every message between two."""
    partners: dict[tuple[int, int], int] = {}
    user, partner, days = [], [], []
    for day, batch in enumerate(days_of_activity(world, seed)):
        members: dict[int, list[int]] = {}
        for row in batch["memberships"].select(["channel_id", "user_id"]).to_pylist():
            members.setdefault(row["channel_id"], []).append(row["user_id"])
        for channel, group in members.items():
            if len(group) == 2:
                partners |= {(channel, group[0]): group[1], (channel, group[1]): group[0]}
        mentions = [m for m in batch["mentions"].to_pylist() if not m["is_quote"]]
        pairs = [(m["user_id"], m["mentioned_user_id"]) for m in mentions]
        said = batch["messages"].select(["channel_id", "user_id"]).to_pylist()
        places = [(m["channel_id"], m["user_id"]) for m in said]
        pairs += [(place[1], partners[place]) for place in places if place in partners]
        user += [a for a, _ in pairs]
        partner += [b for _, b in pairs]
        days += [day] * len(pairs)
    return np.array(user), np.array(partner), np.array(days)


def test_replayed_contacts_rank_people_better_than_popularity() -> None:
    users, cut_day = 600, 83
    world = sample_world(users=users, days=90)
    user, partner, day = contacts_of(world, seed=7)
    past, week = day < cut_day, day >= cut_day
    memory = ContactMemory(world.setting.population, ContactPreference())
    memory.record(user[past], partner[past], day[past] * DAY)
    people, weights = memory.pool(np.arange(users), cut_day * DAY)
    truth = np.zeros((users, users))
    np.add.at(truth, (np.arange(users)[:, None], people), weights)
    relevant = np.zeros((users, users), np.bool_)
    relevant[user[week], partner[week]] = True
    assert relevant.sum() > 200
    others = ~np.eye(users, dtype=np.bool_)
    received = np.broadcast_to(np.bincount(partner[past], minlength=users), truth.shape).astype(float)
    assert mean_ndcg(truth, relevant, others) >= 3 * mean_ndcg(received, relevant, others)


@given(zone=st.integers(0, ALWAYS), weekday=st.integers(0, 6), seed=st.integers(0, 2**32))
def test_hours_follow_the_time_zone(zone: int, weekday: int, seed: int) -> None:
    zones = np.full(400, zone, np.int8)
    times = times_of_day(np.random.default_rng(seed), zones, weekday)
    assert ((times >= 0) & (times < DAY)).all()
    if zone < ALWAYS and weekday in (1, 2, 3):
        local_hour = (times // HOUR + OFFSETS[zone] / 60) % 24
        assert ((local_hour >= 8) & (local_hour < 18)).mean() > 0.7
        assert volume(zones, weekday)[0] == pytest.approx(1.0)


@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.5, 3.0]), min_size=3, max_size=3), min_size=1),
    st.integers(0, 99),
)
def test_only_what_has_weight_is_drawn(rows: list[list[float]], seed: int) -> None:
    weights = np.array(rows)
    rng = np.random.default_rng(seed)
    drawn = draw_columns(rng, weights, 4)
    assert drawn.shape == (len(rows), 4)
    for row, columns in zip(weights, drawn, strict=True):
        assert (columns == -1).all() if row.sum() == 0 else (row[columns] > 0).all()
    segments = np.arange(len(rows)) * 3
    within = draw_within(rng, np.cumsum(weights + 1e-9), segments, segments + 3)
    assert ((within >= segments) & (within < segments + 3)).all()


def test_the_first_valid_proposal_is_taken() -> None:
    proposals = np.array([[4, 5, 6], [4, 5, 6], [4, 5, 6]])
    valid = np.array([[False, True, True], [False, False, False], [True, False, True]])
    assert first_valid(proposals, valid).tolist() == [5, -1, 4]
