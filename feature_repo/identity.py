"""The identity vault: the caller's own ids ↔ int64, per workspace. The only place where a raw id is kept.

An id carries its workspace: ``id = workspace_id << 40 | n``, with ``n`` from one sequence per workspace,
so that a key of one workspace can never be mistaken for a key of another. Ids that nobody needs back
(messages, threads, events) are not kept at all: they become a hash under the workspace's secret key.

Only ingest and the serving edge open the vault.
"""

import hashlib
import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from feature_repo.errors import RecommendError

WORKSPACE_SHIFT = 40
UNKNOWN = 0
"""What ``lookup`` answers for an id that was never interned."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS workspaces (
    workspace_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, secret BLOB NOT NULL, last INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS identities (
    workspace_id INTEGER NOT NULL, kind TEXT NOT NULL, raw TEXT NOT NULL, id INTEGER NOT NULL UNIQUE,
    PRIMARY KEY (workspace_id, kind, raw)
) WITHOUT ROWID;
"""


def workspace_of(entity_id: int) -> int:
    """The workspace that an interned id belongs to."""
    return entity_id >> WORKSPACE_SHIFT


class Vault:
    """A SQLite file of raw id ↔ int64. Use as a context manager: leaving it commits, an error rolls back."""

    def __init__(self, path: Path) -> None:
        """Open the vault, creating it where there is none."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, check_same_thread=False, timeout=30)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(_SCHEMA)
        path.chmod(0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._connection.commit()
        else:
            self._connection.rollback()
        self._connection.close()

    def commit(self) -> None:
        """Make what was interned so far durable."""
        self._connection.commit()

    def rollback(self) -> None:
        """Forget what was interned since the last commit."""
        self._connection.rollback()

    def close(self) -> None:
        """Close without committing."""
        self._connection.close()

    def version(self) -> int:
        """Another number as soon as somebody else has changed the vault: what was read before may be out of date."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def workspaces(self) -> dict[str, int]:
        """Every workspace's name and id."""
        return dict(
            self._connection.execute("SELECT name, workspace_id FROM workspaces ORDER BY workspace_id")
        )

    def workspace(self, name: str, *, create: bool = False) -> int:
        """The id of a workspace, from 1 up.

        Raises:
            RecommendError: there is none of that name and ``create`` is false.
        """
        row = self._connection.execute(
            "SELECT workspace_id FROM workspaces WHERE name = ?", (name,)
        ).fetchone()
        if row is None and create:
            row = self._connection.execute(
                "INSERT INTO workspaces (name, secret, last) VALUES (?, ?, 0) RETURNING workspace_id",
                (name, secrets.token_bytes(32)),
            ).fetchone()
        if row is None:
            known = ", ".join(self.workspaces()) or "none yet"
            raise RecommendError(f"no workspace named {name!r} (known: {known}): ingest its export first")
        return int(row[0])

    def intern(self, workspace_id: int, kind: str, raw: Sequence[str]) -> NDArray[np.int64]:
        """The id of each raw id, allocated where it is new; shape ``[len(raw)]``, int64."""
        known = self._known(workspace_id, kind, raw)
        fresh = [r for r in dict.fromkeys(raw) if r not in known]
        if fresh:
            (last,) = self._connection.execute(
                "UPDATE workspaces SET last = last + ? WHERE workspace_id = ? RETURNING last",
                (len(fresh), workspace_id),
            ).fetchone()
            base = (workspace_id << WORKSPACE_SHIFT) | (last - len(fresh))
            allocated = {r: base + n for n, r in enumerate(fresh, start=1)}
            self._connection.executemany(
                "INSERT INTO identities (workspace_id, kind, raw, id) VALUES (?, ?, ?, ?)",
                ((workspace_id, kind, r, i) for r, i in allocated.items()),
            )
            known |= allocated
        return np.fromiter((known[r] for r in raw), np.int64, len(raw))

    def lookup(self, workspace_id: int, kind: str, raw: Sequence[str]) -> NDArray[np.int64]:
        """The id of each raw id, ``UNKNOWN`` where there is none; shape ``[len(raw)]``, int64."""
        known = self._known(workspace_id, kind, raw)
        return np.fromiter((known.get(r, UNKNOWN) for r in raw), np.int64, len(raw))

    def reveal(self, workspace_id: int, kind: str, ids: Sequence[int]) -> list[str | None]:
        """The raw id behind each id; None where it is unknown, forgotten, or another workspace's."""
        found: dict[int, str] = {}
        for chunk in _chunks(ids):
            marks = ",".join("?" * len(chunk))
            found |= dict(
                self._connection.execute(
                    f"SELECT id, raw FROM identities WHERE id IN ({marks}) AND workspace_id = ? AND kind = ?",
                    (*chunk, workspace_id, kind),
                )
            )
        return [found.get(i) for i in ids]

    def beginning_with(self, workspace_id: int, kind: str, prefix: str, most: int) -> list[str]:
        """The first ``most`` raw ids that begin with ``prefix``, by code point."""
        found = self._connection.execute(
            "SELECT raw FROM identities WHERE workspace_id = ? AND kind = ? AND raw >= ? AND raw < ? "
            "ORDER BY raw LIMIT ?",
            (workspace_id, kind, prefix, prefix + chr(0x10FFFF), most),
        )
        return [raw for (raw,) in found]

    def token_key(self, workspace_id: int) -> bytes:
        """A key for sealing what callers carry for us, 32 bytes, made from the workspace's secret."""
        return hashlib.blake2b(b"token", digest_size=32, key=self._secret(workspace_id)).digest()

    def pseudonyms(self, workspace_id: int, kind: str, raw: Iterable[str]) -> NDArray[np.int64]:
        """One-way ids for what is never asked back: BLAKE2b (RFC 7693) under the workspace's secret, 63 bits.

        By the birthday bound, 10 M ids collide with probability 5e-6.
        """
        keyed = hashlib.blake2b(kind.encode(), digest_size=8, key=self._secret(workspace_id))

        def digest(text: str) -> bytes:
            state = keyed.copy()
            state.update(b"\0" + text.encode("utf-8", "surrogatepass"))
            return state.digest()

        joined = b"".join(map(digest, raw))
        return (np.frombuffer(joined, np.uint64) >> np.uint64(1)).astype(np.int64)

    def forget(self, workspace_id: int, kind: str, raw: str) -> bool:
        """Delete one entry; True where there was one. The number is never given out again."""
        deleted = self._connection.execute(
            "DELETE FROM identities WHERE workspace_id = ? AND kind = ? AND raw = ?",
            (workspace_id, kind, raw),
        )
        return deleted.rowcount > 0

    def _secret(self, workspace_id: int) -> bytes:
        (secret,) = self._connection.execute(
            "SELECT secret FROM workspaces WHERE workspace_id = ?", (workspace_id,)
        ).fetchone()
        return bytes(secret)

    def _known(self, workspace_id: int, kind: str, raw: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for chunk in _chunks(list(dict.fromkeys(raw))):
            marks = ",".join("?" * len(chunk))
            found |= dict(
                self._connection.execute(
                    f"SELECT raw, id FROM identities WHERE raw IN ({marks}) AND workspace_id = ? AND kind = ?",
                    (*chunk, workspace_id, kind),
                )
            )
        return found


def _chunks(values: Sequence[Any], size: int = 500) -> Iterable[Sequence[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))
