"""The domain that ships: a chat workspace."""
