"""Where state lives: one folder, ``RECOMMEND_HOME`` (default ``data`` beside the packages), and its map."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def home() -> Path:
    """The state folder. A relative ``RECOMMEND_HOME`` counts from the project's root, whatever the
    working directory: ``feast -c feature_repo`` changes it before it reads our files."""
    return (PROJECT / os.environ.get("RECOMMEND_HOME", "data")).resolve()


def vault_path() -> Path:
    """The only file that holds a raw id."""
    return home() / "vault.sqlite"


def keys_path() -> Path:
    """The API keys, hashed; see ``serving.keys``."""
    return home() / "api_keys.json"


def events_path() -> Path:
    """Event tables: ``<table>/day=YYYY-MM-DD/*.parquet``."""
    return home() / "events"


def quarantine_path() -> Path:
    """Rows that ingest could not read: ``<workspace id>/<ingest>.parquet``."""
    return home() / "quarantine"


def tables_path() -> Path:
    """Offline tables: ``<table>/day=YYYY-MM-DD/*.parquet``."""
    return home() / "tables"


def feast_path() -> Path:
    """Feast's registry and the embedded online store."""
    return home() / "feast"


def models_path() -> Path:
    """BentoML's home: the model store lies in ``models/`` below it, the champions in ``champions/``."""
    return home() / "bentoml"


def log_path() -> Path:
    """What was served and what came of it: ``impressions/day=…/*.parquet``, ``outcomes/day=…/*.parquet``."""
    return home() / "log"


def reports_path() -> Path:
    """The monitoring pages and Evidently's workspace."""
    return home() / "reports"


def scratch_path() -> Path:
    """Work in progress; whatever lies here after a crash may be deleted."""
    path = home() / "scratch"
    path.mkdir(parents=True, exist_ok=True)
    return path
