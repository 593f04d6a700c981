"""The settings of the packed online store, and opening what they name."""

import json
import re
from pathlib import Path
from typing import Any, Literal

from feast.repo_config import FeastConfigBaseModel
from pydantic import SecretStr, StrictStr, field_validator

from feature_repo.stores.packed.backends import Backend

_VARIABLE = re.compile(r"\$\{(\w+)\}")


class ConnectionSettings(FeastConfigBaseModel):
    """Where the rows are kept.

    Feast puts the environment's ``${NAME}`` into feature_store.yaml before it reads it, and leaves those that are not
    set as they stand: they are refused here, by name.
    """

    backend: Literal["lmdb", "redis"] = "lmdb"

    path: StrictStr = "online"
    """LMDB's folder; counts from the feature repo where it is relative."""
    map_bytes: int = 1 << 30
    """LMDB's first map size; doubles by itself. Address space, not memory or disk."""

    connection_string: SecretStr | None = None
    """``redis://…``, ``rediss://…`` or Feast's form ``host:port,db=0,ssl=true,password=…``; goes before the rest."""
    host: StrictStr = "localhost"
    port: int = 6379
    db: int = 0
    username: StrictStr | None = None
    password: SecretStr | None = None
    tls: bool = False
    tls_ca_certs: StrictStr | None = None
    timeout_seconds: float = 2.0
    """How long a connection or an answer of Redis may take before the store counts as unavailable."""

    @field_validator("*", mode="before")
    @classmethod
    def _has_all_variables(cls, value: Any) -> Any:
        if isinstance(value, str) and (found := _VARIABLE.search(value)):
            raise ValueError(f"the environment variable {found[1]} is not set")
        return value

    @property
    def is_networked(self) -> bool:
        """Whether other machines reach the same rows."""
        return self.backend == "redis"

    def connection(self) -> "ConnectionSettings":
        """These settings without a subclass's own: what another process needs to open the backend."""
        return ConnectionSettings(**{name: getattr(self, name) for name in ConnectionSettings.model_fields})


def open_backend(settings: ConnectionSettings, repo_path: Path | None) -> Backend:
    """The backend that the settings name. Redis is not reached before the first verb."""
    if settings.backend == "redis":
        return _open_redis(settings)
    from feature_repo.stores.packed.backends.lmdb import open_lmdb

    return open_lmdb((repo_path or Path()) / settings.path, settings.map_bytes)


def _open_redis(settings: ConnectionSettings) -> Backend:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    from feature_repo.stores.packed.backends.redis import RedisBackend

    common: dict[str, Any] = {
        "socket_timeout": settings.timeout_seconds,
        "socket_connect_timeout": settings.timeout_seconds,
        # One more try, at once, for a connection that the server closed while it was idle.
        "retry": Retry(NoBackoff(), 1),
    }
    text = settings.connection_string.get_secret_value() if settings.connection_string else None
    if text and "://" in text:
        client = redis.Redis.from_url(text, **common)
    else:
        client = redis.Redis(**common, **(_feast_form(text) if text else _fields(settings)))
    where = client.connection_pool.connection_kwargs
    return RedisBackend(client, f"{where.get('host', 'localhost')}:{where.get('port', 6379)}")


def _fields(settings: ConnectionSettings) -> dict[str, Any]:
    return {
        "host": settings.host,
        "port": settings.port,
        "db": settings.db,
        "username": settings.username,
        "password": settings.password.get_secret_value() if settings.password else None,
        "ssl": settings.tls,
        **({"ssl_ca_certs": settings.tls_ca_certs} if settings.tls_ca_certs else {}),
    }


def _feast_form(text: str) -> dict[str, Any]:
    """``host:port,name=value,…``: what Feast's own Redis store takes; a value is JSON where it can be."""
    address, *settings = text.split(",")
    host, _, port = address.partition(":")
    fields: dict[str, Any] = {"host": host, "port": int(port or 6379)}
    for setting in settings:
        name, _, value = setting.partition("=")
        fields[name] = value if name == "password" else _json(value)
    return fields


def _json(value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
