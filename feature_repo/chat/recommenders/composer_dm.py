"""Whom to address next."""

from datetime import timedelta

from feature_repo.chat.entities import peer, user
from feature_repo.chat.views.people_candidates import people_candidates, popular_people
from feature_repo.chat.views.user_activity import user_activity
from feature_repo.chat.views.user_user_affinity import user_user_affinity
from feature_repo.recommender import CandidateSource, Outcome, Recommender

peer_activity = user_activity.with_name("peer_activity").with_join_key_map({"user_id": "peer_id"})

composer_dm = Recommender(
    name="composer_dm",
    description="People whom a user is likely to message or mention next",
    query=user,
    candidate=peer,
    candidates=people_candidates,
    sources=(
        CandidateSource("by_contact", quota=100),
        CandidateSource("by_threads", quota=100),
        CandidateSource("by_channels", quota=100),
        CandidateSource("by_popularity", quota=50),
    ),
    popular=popular_people,
    features=(user_user_affinity, peer_activity, user_activity),
    heuristic={
        "user_user_affinity__mentions_made_30d": 1.0,
        "user_user_affinity__mentions_received_30d": 0.5,
        "user_user_affinity__direct_messages_30d": 1.0,
        "user_user_affinity__replies_made_30d": 0.5,
        "user_user_affinity__shared_threads_7d": 0.5,
        "peer_activity__mentions_received_30d": 0.2,
    },
    outcome=Outcome(
        name="address",
        window=timedelta(days=7),
        once=False,
        sql="""
            WITH addressed AS (
                SELECT user_id, mentioned_user_id AS peer_id, event_timestamp FROM mentions WHERE NOT is_quote
                UNION ALL
                SELECT m.user_id, other.user_id AS peer_id, m.event_timestamp
                FROM messages m
                SEMI JOIN (SELECT channel_id FROM channels WHERE kind IN (2, 3)) USING (channel_id)
                JOIN (SELECT DISTINCT channel_id, user_id FROM memberships WHERE joined) other USING (channel_id)
            )
            SELECT user_id, peer_id, event_timestamp FROM addressed
            ANTI JOIN (SELECT user_id FROM users WHERE is_bot) USING (user_id)
            ANTI JOIN (SELECT user_id AS peer_id FROM users WHERE is_bot) USING (peer_id)
            WHERE user_id <> peer_id
        """,
    ),
)
