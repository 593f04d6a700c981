"""Channels to join, found in three ways; and the one list for a user about whom nothing is known."""

from feature_repo.chat.entities import user, workspace
from feature_repo.views import lists, view_of_table

channel_candidates = view_of_table(
    "channel_candidates",
    [user],
    lists("by_comembership", "by_neighbours", "by_popularity"),
    "Public channels that the user is not in, by how they were found, best first",
)

popular_channels = view_of_table(
    "popular_channels", [workspace], lists("channels"), "Public channels by newcomers and posters of 30 days"
)
