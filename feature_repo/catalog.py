"""Finds a domain's declarations by walking its packages: a new file is found, nothing else is edited.

The domain is a package, ``RECOMMEND_DOMAIN`` (default ``feature_repo.chat``), that holds the modules
``events`` (``EVENT_TABLES``), ``entities``, ``views/``, ``tables/`` and ``recommenders/``.
"""

import importlib
import os
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

from feast import Entity, FeatureService, FeatureView

from feature_repo.errors import RecommendError
from feature_repo.events import PLATFORM_TABLES, EventTable
from feature_repo.recommender import Recommender
from feature_repo.tables import OfflineTable


def domain() -> str:
    """The package of the domain in use."""
    return os.environ.get("RECOMMEND_DOMAIN", "feature_repo.chat")


def feast_repo() -> Path:
    """The folder that ``feast -c`` takes: the nearest one above the domain with a ``feature_store.yaml``."""
    package = Path(str(importlib.import_module(domain()).__file__)).parent
    for folder in (package, *package.parents):
        if (folder / "feature_store.yaml").exists():
            return folder
    raise RecommendError(f"no feature_store.yaml in {package} or above it: a feature repo needs one")


def modules(part: str) -> Iterator[ModuleType]:
    """Every module of one package of the domain, in the order of their names."""
    package = importlib.import_module(f"{domain()}.{part}")
    for entry in sorted(pkgutil.iter_modules(package.__path__), key=lambda e: e.name):
        yield importlib.import_module(f"{package.__name__}.{entry.name}")


@cache
def recommenders() -> dict[str, Recommender]:
    """Every declared recommender, by name."""
    return {
        r.name: r for m in modules("recommenders") for r in vars(m).values() if isinstance(r, Recommender)
    }


def recommender(name: str) -> Recommender:
    """The recommender of that name.

    Raises:
        RecommendError: there is none.
    """
    if name not in recommenders():
        raise RecommendError(f"no recommender named {name!r}: choose one of {', '.join(recommenders())}")
    return recommenders()[name]


@cache
def offline_tables() -> dict[str, OfflineTable]:
    """Every offline table, by name. Imports the Spark jobs, but starts no Spark."""
    return {t.name: t for m in modules("tables") for t in vars(m).values() if isinstance(t, OfflineTable)}


@cache
def event_tables() -> tuple[EventTable, ...]:
    """The domain's event tables, without the platform's own."""
    tables: tuple[EventTable, ...] = importlib.import_module(f"{domain()}.events").EVENT_TABLES
    return tables


def all_event_tables() -> tuple[EventTable, ...]:
    """The domain's event tables and the platform's impressions and outcomes."""
    return event_tables() + PLATFORM_TABLES


def feast_objects() -> dict[str, Entity | FeatureView | FeatureService]:
    """All that Feast must know, by name: entities, feature views, and one feature service a recommender."""
    sources = (importlib.import_module(f"{domain()}.entities"), *modules("views"))
    declared = [v for m in sources for v in vars(m).values() if isinstance(v, Entity | FeatureView)]
    services = [r.feature_service() for r in recommenders().values()]
    return {f"{type(o).__name__}_{o.name}": o for o in (*declared, *services)}
