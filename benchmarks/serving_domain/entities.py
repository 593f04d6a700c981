"""Who asks, and what is ranked."""

from feast import Entity, ValueType

workspace = Entity(name="workspace", join_keys=["workspace_id"], value_type=ValueType.INT64)
user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64, tags={"identity": "user"})
item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.INT64, tags={"identity": "item"})
