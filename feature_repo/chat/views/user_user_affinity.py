"""What ties a user to another."""

from feature_repo.chat.entities import peer, user
from feature_repo.views import numbers, view_of_table

user_user_affinity = view_of_table(
    "user_user_affinity",
    [user, peer],
    numbers(
        "mentions_made_7d",
        "mentions_made_30d",
        "mentions_made_90d",
        "mentions_received_7d",
        "mentions_received_30d",
        "mentions_received_90d",
        "replies_made_30d",
        "replies_made_90d",
        "replies_received_30d",
        "replies_received_90d",
        "direct_messages_30d",
        "direct_messages_90d",
        "reactions_made_90d",
        "reactions_received_90d",
        "shared_threads_7d",
        "shared_threads_30d",
        "shared_threads_90d",
        "shared_channels_90d",
        "days_since_contact_made",
        "days_since_contact_received",
        "days_since_shared_thread",
    ),
    "Mentions, replies, direct messages, reactions, threads and channels that two users share",
)
