"""The embedded profile's parts: the stores of `feature_repo.stores`, kept under ``RECOMMEND_HOME``."""

from pathlib import Path

from feast.infra.registry.file import FileRegistryStore
from feast.repo_config import RegistryConfig, RepoConfig

from feature_repo.home import feast_path
from feature_repo.stores.packed.online_store import PackedOnlineStore, PackedOnlineStoreConfig


class HomeRegistryStore(FileRegistryStore):
    """A registry file whose relative path counts from the state folder."""

    def __init__(self, registry_config: RegistryConfig, repo_path: Path) -> None:
        """Feast calls this; ``repo_path`` is not used."""
        feast_path().mkdir(parents=True, exist_ok=True)
        super().__init__(registry_config, feast_path())


class HomeOnlineStoreConfig(PackedOnlineStoreConfig):
    """The packed store's settings; ``path`` counts from the state folder."""

    type: str = "feature_repo.embedded.HomeOnlineStore"


class HomeOnlineStore(PackedOnlineStore):
    """A packed online store whose relative path counts from the state folder."""

    def folder(self, config: RepoConfig) -> Path:
        """The state folder."""
        return feast_path()
