"""How alive a channel is."""

from feature_repo.chat.entities import channel
from feature_repo.views import numbers, view_of_table

channel_activity = view_of_table(
    "channel_activity",
    [channel],
    numbers(
        "messages_7d",
        "messages_30d",
        "messages_90d",
        "posters_7d",
        "posters_30d",
        "posters_90d",
        "newcomers_7d",
        "newcomers_30d",
        "newcomers_90d",
        "links_30d",
        "reactions_30d",
        "members",
        "days_since_message",
        "age_days",
    ),
    "Messages, posters, newcomers and members of a channel in 7, 30 and 90 days",
)
