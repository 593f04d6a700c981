"""Feast's stock parts for one machine, kept under `RECOMMEND_HOME` and able to run on history."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from feast.infra.common.materialization_job import MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine, LocalComputeEngineConfig
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.infra_object import InfraObject
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from feast.infra.registry.base_registry import BaseRegistry
from feast.infra.registry.file import FileRegistryStore
from feast.repo_config import RegistryConfig, RepoConfig

from feature_repo.home import feast_path

# Feast reads DuckDB through ibis, which has not followed DuckDB's renaming yet; it is nothing a user can mend.
warnings.filterwarnings("ignore", message="fetch_arrow_table", category=DeprecationWarning)


class HomeRegistryStore(FileRegistryStore):
    """A registry file whose relative path counts from the state folder."""

    def __init__(self, registry_config: RegistryConfig, repo_path: Path) -> None:
        """Feast calls this; ``repo_path`` is not used."""
        feast_path().mkdir(parents=True, exist_ok=True)
        super().__init__(registry_config, feast_path())


class EmbeddedOnlineStoreConfig(SqliteOnlineStoreConfig):
    """Feast's SQLite settings; ``path`` counts from the state folder."""

    type: str = "feature_repo.embedded.EmbeddedOnlineStore"  # type: ignore[assignment]
    path: str = "online.db"


class EmbeddedOnlineStore(SqliteOnlineStore):
    """A SQLite online store whose relative path counts from the state folder."""

    @staticmethod
    def _get_db_path(config: RepoConfig) -> str:
        feast_path().mkdir(parents=True, exist_ok=True)
        return str(feast_path() / config.online_store.path)

    def plan(self, config: RepoConfig, desired_registry_proto: Any) -> list[InfraObject]:
        """Nothing: Feast records the planned tables for a store of the type "sqlite" alone, so any other
        would plan the same creations for ever. `update` creates them on ``feast apply``."""
        return []


class EmbeddedComputeEngineConfig(LocalComputeEngineConfig):
    """Feast's settings of the local engine."""

    type: str = "feature_repo.embedded.EmbeddedComputeEngine"  # type: ignore[assignment]


class EmbeddedComputeEngine(LocalComputeEngine):
    """The local engine, whose incremental materialization works as of any instant.

    The first time, Feast starts at the present less the view's TTL, whatever end it was given. As of an
    earlier end that interval is empty, and nothing would be written; it then starts at the end less the TTL.
    """

    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any
    ) -> LocalMaterializationJob:
        ttl = task.feature_view.ttl
        if ttl and task.start_time >= task.end_time:
            task = replace(task, start_time=task.end_time - ttl)
        return super()._materialize_one(registry, task, **kwargs)
