"""Feast's stock registry file and SQLite store, kept under `RECOMMEND_HOME` instead of beside the repo."""

from pathlib import Path

from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from feast.infra.registry.file import FileRegistryStore
from feast.repo_config import RegistryConfig, RepoConfig

from feature_repo.home import feast_path


class HomeRegistryStore(FileRegistryStore):
    """A registry file whose relative path counts from the state folder."""

    def __init__(self, registry_config: RegistryConfig, repo_path: Path) -> None:
        """Feast calls this; ``repo_path`` is not used."""
        feast_path().mkdir(parents=True, exist_ok=True)
        super().__init__(registry_config, feast_path())


class EmbeddedOnlineStoreConfig(SqliteOnlineStoreConfig):
    """Feast's SQLite settings; ``path`` counts from the state folder."""

    type: str = "feature_repo.stores.embedded.EmbeddedOnlineStore"  # type: ignore[assignment]
    path: str = "online.db"


class EmbeddedOnlineStore(SqliteOnlineStore):
    """A SQLite online store whose relative path counts from the state folder."""

    @staticmethod
    def _get_db_path(config: RepoConfig) -> str:
        feast_path().mkdir(parents=True, exist_ok=True)
        return str(feast_path() / config.online_store.path)
