"""How active a user is."""

from feature_repo.chat.entities import user
from feature_repo.views import numbers, view_of_table

user_activity = view_of_table(
    "user_activity",
    [user],
    numbers(
        "messages_7d",
        "messages_30d",
        "messages_90d",
        "active_days_30d",
        "active_days_90d",
        "channels_30d",
        "channels_90d",
        "threads_30d",
        "mentions_made_30d",
        "mentions_received_30d",
        "mentions_received_90d",
        "reactions_made_30d",
        "reactions_received_30d",
        "channels_joined",
        "days_since_message",
        "tenure_days",
    ),
    "Messages, days, channels, threads, mentions and reactions of a user in 7, 30 and 90 days",
)
