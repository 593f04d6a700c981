"""Where packed rows are kept: a few verbs over bytes. LMDB on one machine, Redis for many."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from feature_repo.stores.packed.layout import NO_TIME, TIMES

_NEVER = NO_TIME.to_bytes(8, "little", signed=True) * 2


class Backend(Protocol):
    """The verbs. All raise `StoreUnavailable` where the storage cannot be reached, and change nothing then."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of the keys, in their order; None where there is none. One consistent look."""

    def put(self, key: bytes, value: bytes) -> None:
        """Store a value that is not a row."""

    def upsert(self, keys: Sequence[bytes], rows: Sequence[bytes]) -> int:
        """Store rows, but for those of which a newer one (by event, then created time) is there; of rows with one
        key the newest, of equals the last. Returns how many were written: a backend may pass over a row that is
        there already, byte for byte."""

    def delete_prefix(self, prefix: bytes) -> int:
        """Delete every key that begins with ``prefix``; returns how many."""

    def close(self) -> None:
        """Let go of files and connections. Closing twice does no harm; a later verb opens them again."""


def recency(rows: Sequence[bytes]) -> NDArray[np.int64]:
    """Event and created times of rows, int64 ``[N, 2]`` in microseconds; the earliest for one cut short."""
    times = [row[TIMES] if len(row) >= TIMES.stop else _NEVER for row in rows]
    return np.frombuffer(b"".join(times), "<i8").reshape(-1, 2)


def not_older(candidates: NDArray[np.int64], stored: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a candidate's times, ``[N, 2]``, are the stored ones' or later, ``[N]``."""
    event, created = candidates.T
    stored_event, stored_created = stored.T
    later: NDArray[np.bool_] = (event > stored_event) | (
        (event == stored_event) & (created >= stored_created)
    )
    return later
