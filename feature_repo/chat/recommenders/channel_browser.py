"""Channels to join."""

from datetime import timedelta

from feature_repo.chat.entities import channel, user
from feature_repo.chat.views.channel_activity import channel_activity
from feature_repo.chat.views.channel_candidates import channel_candidates, popular_channels
from feature_repo.chat.views.user_activity import user_activity
from feature_repo.chat.views.user_channel_affinity import user_channel_affinity
from feature_repo.recommender import CandidateSource, Outcome, Recommender

channel_browser = Recommender(
    name="channel_browser",
    description="Public channels that a user is not in and may want to join",
    query=user,
    candidate=channel,
    candidates=channel_candidates,
    sources=(
        CandidateSource("by_comembership", quota=100),
        CandidateSource("by_neighbours", quota=100),
        CandidateSource("by_popularity", quota=100),
    ),
    popular=popular_channels,
    features=(user_channel_affinity, channel_activity, user_activity),
    heuristic={
        "user_channel_affinity__comembership": 1.0,
        "user_channel_affinity__neighbours_30d": 0.5,
        "user_channel_affinity__mentions_received_90d": 0.5,
        "channel_activity__newcomers_30d": 1.0,
        "channel_activity__days_since_message": -0.3,
    },
    alike_by=("channel_activity__members", "channel_activity__messages_30d", "channel_activity__age_days"),
    outcome=Outcome(
        name="join",
        window=timedelta(days=30),
        once=True,
        sql="""
            SELECT user_id, channel_id, event_timestamp
            FROM (
                SELECT user_id, channel_id, event_timestamp FROM memberships WHERE joined
                UNION ALL
                SELECT user_id, channel_id, event_timestamp FROM messages
            )
            SEMI JOIN (SELECT channel_id FROM channels WHERE kind = 0) USING (channel_id)
            ANTI JOIN (SELECT user_id FROM users WHERE is_bot) USING (user_id)
        """,
    ),
)
