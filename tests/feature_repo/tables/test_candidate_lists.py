"""What the candidate lists hold, and in which order, against the tables that they are made from."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from feature_repo.chat.tables.channel_candidates import MOST
from tests.feature_repo.tables.conftest import Built, Key, read
from tests.feature_repo.tables.oracle import Oracle
from tests.feature_repo.tables.workspace import EARLY, LATE

pytestmark = pytest.mark.slow

Row = dict[str, Any]
DAYS = pytest.mark.parametrize("day", [EARLY, LATE], ids=str)


def ranked(pairs: dict[Key, Row], person: Key, score: Callable[[Row], float]) -> list[int] | None:
    """A person's items by falling score, of equals the lower id first; None where no score is above 0."""
    scored = [(-score(row), key[-1]) for key, row in pairs.items() if key[:2] == person and score(row) > 0]
    return [item for _, item in sorted(scored)][:MOST] or None


def popular(rows: dict[Key, Row], workspace: int, *scores: str) -> list[int]:
    """A workspace's items by falling scores, those without one last."""
    order = [
        (*(-1 * (-1 if row[s] is None else row[s]) for s in scores), key[-1])
        for key, row in rows.items()
        if key[0] == workspace
    ]
    return [int(entry[-1]) for entry in sorted(order)]


def total(row: Row, *names: str) -> float:
    return sum(row[name] or 0.0 for name in names)


@DAYS
def test_channels_are_ranked_by_their_scores(community: Built, day: date) -> None:
    pairs = {k: r for k, r in read("user_channel_affinity", day).items() if not r["is_member"]}
    lists = read("channel_candidates", day)
    assert lists.keys() == read("user_activity", day).keys()
    for person, row in lists.items():
        assert row["by_comembership"] == ranked(pairs, person, lambda r: r["comembership"] or 0)
        assert row["by_neighbours"] == ranked(pairs, person, lambda r: r["neighbour_strength"] or 0)
    for name in ("by_comembership", "by_neighbours", "by_popularity"):
        assert any(row[name] for row in lists.values()), name


@DAYS
def test_channels_are_public_not_archived_and_never_the_users_own(community: Built, day: date) -> None:
    lists = read("channel_candidates", day)
    silent = 0
    for workspace in community.workspaces:
        oracle = Oracle(workspace, day)
        popular_here = popular(
            read("channel_activity", day), workspace.workspace_id, "newcomers_30d", "posters_30d"
        )
        assert set(popular_here) == oracle.public
        touched = set(read("user_channel_affinity", day))
        for (workspace_id, user), row in lists.items():
            if workspace_id == workspace.workspace_id:
                own = {channel for member, channel in oracle.members if member == user}
                silent += any((workspace_id, user, c) not in touched for c in own & oracle.public)
                assert row["by_popularity"] == ([c for c in popular_here if c not in own] or None)
                for listed in filter(None, row.values()):
                    assert not own & set(listed)
                    assert set(listed) <= oracle.public
                    assert len(set(listed)) == len(listed) <= MOST
    assert silent, "nobody is in a channel without a trace of it: the test has nothing to find"


@DAYS
def test_people_are_ranked_by_their_scores(community: Built, day: date) -> None:
    pairs, activity = read("user_user_affinity", day), read("user_activity", day)
    lists = read("people_candidates", day)
    assert lists.keys() == activity.keys()

    def contact(row: Row) -> float:
        made = total(
            row, "mentions_made_90d", "direct_messages_90d", "replies_made_90d", "reactions_made_90d"
        )
        received = total(row, "mentions_received_90d", "replies_received_90d", "reactions_received_90d")
        recent = total(row, "mentions_made_7d", "mentions_made_30d", "direct_messages_30d")
        return (2 * made + received) * (1 + recent)

    def threads(row: Row) -> float:
        return total(row, "shared_threads_7d", "shared_threads_30d", "shared_threads_90d")

    for person, row in lists.items():
        assert row["by_contact"] == ranked(pairs, person, contact)
        assert row["by_threads"] == ranked(pairs, person, threads)
        assert row["by_channels"] == ranked(pairs, person, lambda r: r["shared_channels_90d"] or 0)
        order = popular(activity, person[0], "mentions_received_30d", "messages_30d")[:MOST]
        assert row["by_popularity"] == [u for u in order if u != person[1]]
        for listed in filter(None, row.values()):
            assert person[1] not in listed
            assert len(set(listed)) == len(listed) <= MOST


@DAYS
def test_each_workspace_has_one_popular_list(community: Built, day: date) -> None:
    channels, people = read("popular_channels", day), read("popular_people", day)
    assert channels.keys() == people.keys() == {(1,), (2,)}
    activity, users = read("channel_activity", day), read("user_activity", day)
    for (workspace,), row in channels.items():
        assert row["channels"] == popular(activity, workspace, "newcomers_30d", "posters_30d")
    for (workspace,), row in people.items():
        assert row["people"] == popular(users, workspace, "mentions_received_30d", "messages_30d")
