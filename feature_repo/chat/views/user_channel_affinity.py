"""What ties a user to a channel, of which they may or may not be a member."""

from feature_repo.chat.entities import channel, user
from feature_repo.views import numbers, view_of_table

user_channel_affinity = view_of_table(
    "user_channel_affinity",
    [user, channel],
    numbers(
        "comembership",
        "neighbours_30d",
        "neighbour_strength",
        "messages_7d",
        "messages_30d",
        "messages_90d",
        "mentions_received_90d",
        "links_made_90d",
        "reactions_made_90d",
        "days_since_touch",
    ),
    "Co-membership, the neighbours' recent activity, and every touch of the user with the channel",
)
