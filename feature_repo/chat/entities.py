"""Who and what features are about. Ids are the vault's int64; each carries its workspace.

The tag ``identity`` names the kind that the vault interns an entity's ids under: a peer is a user.
"""

from feast import Entity, ValueType

workspace = Entity(
    name="workspace", join_keys=["workspace_id"], value_type=ValueType.INT64, description="a tenant"
)
user = Entity(
    name="user",
    join_keys=["user_id"],
    value_type=ValueType.INT64,
    description="who asks",
    tags={"identity": "user"},
)
channel = Entity(
    name="channel",
    join_keys=["channel_id"],
    value_type=ValueType.INT64,
    description="a conversation",
    tags={"identity": "channel"},
)
peer = Entity(
    name="peer",
    join_keys=["peer_id"],
    value_type=ValueType.INT64,
    description="a user as somebody else's candidate",
    tags={"identity": "user"},
)
