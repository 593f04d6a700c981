"""People to address, found in four ways; and the one list for a user about whom nothing is known."""

from feature_repo.chat.entities import user, workspace
from feature_repo.views import lists, view_of_table

people_candidates = view_of_table(
    "people_candidates",
    [user],
    lists("by_contact", "by_threads", "by_channels", "by_popularity"),
    "People that the user may address next, by how they were found, best first",
)

popular_people = view_of_table(
    "popular_people", [workspace], lists("people"), "People by how many others addressed them in 30 days"
)
