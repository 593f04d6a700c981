"""Redis: one value a row, so no reader ever sees half of one; older rows are turned away by the server."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis

from feature_repo.stores.errors import StoreUnavailable

ROWS_A_CALL = 2_000
"""The server runs a script to its end before it serves anyone else: 2,000 rows hold it for about 5 ms."""

# Compares the times in the rows' heads. Lua's numbers are doubles: exact to the microsecond until the year 2255.
_UPSERT = """
local stored = 0
for i = 1, #KEYS do
  local times = redis.call('GETRANGE', KEYS[i], 8, 23)
  local newer = false
  if #times == 16 then
    local event, created = struct.unpack('<i8i8', times)
    local given_event, given_created = struct.unpack('<i8i8', ARGV[i], 9)
    newer = event > given_event or (event == given_event and created > given_created)
  end
  if not newer then
    redis.call('SET', KEYS[i], ARGV[i])
    stored = stored + 1
  end
end
return stored
"""


class RedisBackend:
    """The verbs of `Backend` over one Redis server, or the primary behind one address.

    A script stores up to ``ROWS_A_CALL`` rows as one atomic step; a longer batch is several such steps, each of
    which can be repeated. Redis Cluster is refused by the server, as the rows of one script lie in several slots.
    """

    def __init__(self, client: redis.Redis, name: str) -> None:
        """``name`` is how errors call the server; it holds no password."""
        self._client = client
        self._name = name
        self._upsert = client.register_script(_UPSERT)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `Backend`. One MGET."""
        if not keys:
            return []
        with self._reaching():
            values: Any = self._client.mget(keys)
        if not isinstance(values, list) or len(values) != len(keys):
            raise StoreUnavailable(f"Redis at {self._name} answers what is no list of values: is it a Redis?")
        return values

    def put(self, key: bytes, value: bytes) -> None:
        """See `Backend`."""
        with self._reaching():
            self._client.set(key, value)

    def upsert(self, keys: Sequence[bytes], rows: Sequence[bytes]) -> int:
        """See `Backend`."""
        stored = 0
        with self._reaching():
            for begin in range(0, len(keys), ROWS_A_CALL):
                part = slice(begin, begin + ROWS_A_CALL)
                stored += int(self._upsert(keys=list(keys[part]), args=list(rows[part])))
        return stored

    def delete_prefix(self, prefix: bytes) -> int:
        """See `Backend`. Walks the whole key space, a thousand keys at a time."""
        deleted = 0
        pattern = b"".join(b"\\" + bytes([byte]) if byte in b"*?[]\\^" else bytes([byte]) for byte in prefix)
        with self._reaching():
            found: list[Any] = []
            for key in self._client.scan_iter(pattern + b"*", count=1_000):
                found.append(key)
                if len(found) == 1_000:
                    deleted += int(self._client.unlink(*found))
                    found = []
            return deleted + (int(self._client.unlink(*found)) if found else 0)

    def close(self) -> None:
        """See `Backend`."""
        self._client.close()

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            raise StoreUnavailable(f"Redis at {self._name}: {error}") from error
