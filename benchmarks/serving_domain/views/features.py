"""Three views of ten features, the candidates of a user, and the popular list."""

from benchmarks.serving_domain.entities import item, user, workspace
from feature_repo.views import lists, numbers, view_of_table

COLUMNS = tuple(f"f{n}" for n in range(10))

user_view = view_of_table("user_view", [user], numbers(*COLUMNS), "of the asking user")
item_view = view_of_table("item_view", [item], numbers(*COLUMNS), "of the item")
pair_view = view_of_table("pair_view", [user, item], numbers(*COLUMNS), "of both")
item_candidates = view_of_table("item_candidates", [user], lists("everything"), "the items of a user")
popular_items = view_of_table("popular_items", [workspace], lists("items"), "the items of a workspace")
