"""The caller's ids and ours, remembered: a request asks the vault only for what it has not been asked before.

The vault is another process's to change. Each answer begins with a look at its version, which costs some
microseconds, and what is remembered goes when it has changed: an erased id is not answered again.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from feature_repo.identity import UNKNOWN, Vault

MOST = 300_000
"""How many ids are remembered, about 60 MB; then all are forgotten at once, and learned anew."""

_Place = tuple[int, str]
"""Workspace id and kind."""


class Identities(Protocol):
    """The edge between the caller's ids and int64."""

    def workspaces(self) -> Mapping[str, int]:
        """Every workspace's name and id."""

    def lookup(self, workspace_id: int, kind: str, raw: Sequence[str]) -> NDArray[np.int64]:
        """The id of each raw id, `UNKNOWN` where there is none; ``[len(raw)]`` int64."""

    def reveal(self, workspace_id: int, kind: str, ids: Sequence[int]) -> list[str | None]:
        """The raw id behind each id; None where there is none."""

    def token_key(self, workspace_id: int) -> bytes:
        """The key that those of the workspace's askers are made of, for their page tokens."""


class Memory:
    """What is remembered, and nothing else: never waits for the vault. One thread writes, any may read."""

    def __init__(self) -> None:
        self._workspaces: dict[str, int] = {}
        self._token_keys: dict[int, bytes] = {}
        self._ids: defaultdict[_Place, dict[str, int]] = defaultdict(dict)
        self._raw: defaultdict[_Place, dict[int, str]] = defaultdict(dict)

    def workspaces(self) -> Mapping[str, int]:
        """See `Identities`."""
        return self._workspaces

    def lookup(self, workspace_id: int, kind: str, raw: Sequence[str]) -> NDArray[np.int64]:
        """See `Identities`."""
        known = self._ids.get((workspace_id, kind), {})
        return np.fromiter((known.get(r, UNKNOWN) for r in raw), np.int64, len(raw))

    def reveal(self, workspace_id: int, kind: str, ids: Sequence[int]) -> list[str | None]:
        """See `Identities`."""
        known = self._raw.get((workspace_id, kind), {})
        return [known.get(i) for i in ids]

    def token_key(self, workspace_id: int) -> bytes:
        """See `Identities`."""
        return self._token_keys.get(workspace_id, b"")

    def beginning_with(self, workspace_id: int, kind: str, prefix: str, most: int) -> list[str]:
        """The raw ids that begin so, sorted, as many as ``most``; see `Vault.beginning_with`."""
        known = list(self._ids.get((workspace_id, kind), {}))
        return sorted(raw for raw in known if raw.startswith(prefix))[:most]

    def _learn(self, place: _Place, raw: str, id_: int) -> None:
        self._ids[place][raw] = id_
        self._raw[place][id_] = raw

    def _forget(self) -> None:
        self._ids, self._raw = defaultdict(dict), defaultdict(dict)

    @property
    def _size(self) -> int:
        return sum(map(len, self._ids.values()))


class Names(Memory):
    """The same with the vault behind it. Not for use by two threads at a time."""

    def __init__(self, vault: Vault) -> None:
        """Nothing is remembered yet."""
        super().__init__()
        self._vault = vault
        self._version: int | None = None
        self._kept: dict[tuple[str, int], tuple[str, tuple[int, ...]]] = {}

    @property
    def memory(self) -> Memory:
        """What is remembered at this moment, for whoever must not wait."""
        found = Memory()
        found._workspaces, found._token_keys = self._workspaces, self._token_keys
        found._ids, found._raw = self._ids, self._raw
        return found

    def refresh(self) -> None:
        """Forget what the vault may not say any more, and learn the kept ids anew."""
        version = self._vault.version()
        if version == self._version and self._size <= MOST:
            return
        self._workspaces = self._vault.workspaces()
        self._token_keys = {w: self._vault.token_key(w) for w in self._workspaces.values()}
        self._forget()
        for (_, workspace), (kind, ids) in self._kept.items():
            self.reveal(workspace, kind, ids)
        self._version = version

    def keep(self, owner: tuple[str, int], kind: str, ids: Sequence[int]) -> None:
        """Always have the names of these at hand, in place of those kept before for the same recommender and
        workspace id."""
        self._kept[owner] = kind, tuple(ids)
        self.reveal(owner[1], kind, ids)

    def lookup(self, workspace_id: int, kind: str, raw: Sequence[str]) -> NDArray[np.int64]:
        """See `Identities`."""
        found = super().lookup(workspace_id, kind, raw)
        missing = np.flatnonzero(found == UNKNOWN).tolist()
        if missing:
            asked = [raw[n] for n in missing]
            found[missing] = self._vault.lookup(workspace_id, kind, asked)
            for text, id_ in zip(asked, found[missing].tolist(), strict=True):
                if id_ != UNKNOWN:
                    self._learn((workspace_id, kind), text, id_)
        return found

    def reveal(self, workspace_id: int, kind: str, ids: Sequence[int]) -> list[str | None]:
        """See `Identities`."""
        found = super().reveal(workspace_id, kind, ids)
        missing = [n for n, raw in enumerate(found) if raw is None]
        if missing:
            told = self._vault.reveal(workspace_id, kind, [ids[n] for n in missing])
            for n, raw in zip(missing, told, strict=True):
                found[n] = raw
                if raw is not None:
                    self._learn((workspace_id, kind), raw, ids[n])
        return found
