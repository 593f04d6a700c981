"""LMDB: one folder, readers of any number of processes beside one writer, every batch one transaction."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from feature_repo.stores.errors import StoreUnavailable
from feature_repo.stores.packed.backends import not_older, recency

_T = TypeVar("_T")
_open: dict[Path, "LmdbBackend"] = {}
_opening = threading.Lock()


def open_lmdb(folder: Path, map_bytes: int) -> "LmdbBackend":
    """The backend of a folder. LMDB allows a process one handle of an environment, so it is shared."""
    with _opening:
        place = folder.resolve()
        return _open.setdefault(place, LmdbBackend(place, map_bytes))


class LmdbBackend:
    """The verbs of `Backend` over an LMDB environment whose map doubles when it is full.

    LMDB forbids resizing the map while this process has a transaction open, so a resize waits for those that are
    open and holds back new ones. Commits leave out the second sync, of the meta page: a power cut can undo the last
    batch, never damage the file. A fork opens its own handle.
    """

    def __init__(self, folder: Path, map_bytes: int) -> None:
        """``map_bytes`` is the first size of the map; the file grows only with its contents."""
        self._folder = folder
        self._map_bytes = map_bytes
        self._environment: Any = None
        self._pid = 0
        self._gate = threading.Condition()
        self._inside = 0

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `Backend`. Point reads in one transaction; ``getmulti`` takes 1.4 times as long, and leaves out what
        is missing without saying where."""

        def look(transaction: Any) -> list[bytes | None]:
            get = transaction.get
            return [get(key) for key in keys]

        return self._run(look, write=False)

    def put(self, key: bytes, value: bytes) -> None:
        """See `Backend`."""
        self._run(lambda transaction: transaction.put(key, value), write=True)

    def upsert(self, keys: Sequence[bytes], rows: Sequence[bytes]) -> int:
        """See `Backend`."""
        if not keys:
            return 0
        items = _newest(keys, rows)

        def store(transaction: Any) -> int:
            cursor = transaction.cursor()
            wanted = items
            if cursor.set_range(items[0][0]) and cursor.key() <= items[-1][0]:
                wanted = _to_write(items, transaction)
            return int(cursor.putmulti(wanted)[0])

        return self._run(store, write=True)

    def delete_prefix(self, prefix: bytes) -> int:
        """See `Backend`."""

        def delete(transaction: Any) -> int:
            cursor, deleted = transaction.cursor(), 0
            found = cursor.set_range(prefix)
            while found and cursor.key().startswith(prefix):
                found = cursor.delete()
                deleted += 1
            return deleted

        return self._run(delete, write=True)

    def close(self) -> None:
        """See `Backend`."""
        with self._alone():
            if self._environment is not None:
                self._environment.close()
            self._environment = None

    def _run(self, work: Callable[[Any], _T], write: bool) -> _T:
        """Do the work in a transaction; once more each time the map had to grow."""
        while True:
            try:
                with self._transaction(write) as transaction:
                    return work(transaction)
            except lmdb.MapFullError:
                self._resize(write)
            except lmdb.MapResizedError:  # another process has grown it
                self._resize(False)
            except lmdb.Error as error:
                raise StoreUnavailable(f"the online store in {self._folder}: {error}") from error

    @contextmanager
    def _transaction(self, write: bool) -> Iterator[Any]:
        with self._gate:
            environment = self._opened()
            self._inside += 1
        try:
            with environment.begin(write=write) as transaction:
                yield transaction
        finally:
            with self._gate:
                self._inside -= 1
                self._gate.notify_all()

    def _resize(self, grow: bool) -> None:
        with self._alone():
            environment = self._opened()
            before = environment.info()["map_size"]
            environment.set_mapsize(
                0
            )  # takes over the size that the last commit left, perhaps another process's
            if grow:
                # A commit that never came has left nothing: the size that was too small may be only `before`.
                environment.set_mapsize(max(before, environment.info()["map_size"]) * 2)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._gate:
            while self._inside:
                self._gate.wait()
            yield

    def _opened(self) -> Any:
        """The environment of this process. The caller holds the gate."""
        if self._environment is None or self._pid != os.getpid():
            if self._environment is not None:
                self._environment.close()  # inherited by a fork; the parent's own stays as it is
                self._environment = None
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._environment = lmdb.open(
                    str(self._folder), map_size=self._map_bytes, metasync=False, max_readers=1024
                )
            except (lmdb.Error, OSError) as error:
                raise StoreUnavailable(f"the online store in {self._folder}: {error}") from error
            self._environment.reader_check()  # frees the slots of processes that were killed
            self._pid = os.getpid()
        return self._environment


def _newest(keys: Sequence[bytes], rows: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """One row a key, in key order."""
    items = sorted(zip(keys, rows, strict=True), key=itemgetter(0))
    if len(set(keys)) == len(items):
        return items
    # Python's tuple order on (event, created), and the sorts are stable: the last of equals wins.
    times = recency([row for _, row in items]).tolist()
    order = sorted(range(len(items)), key=lambda i: (items[i][0], times[i]))
    return list({items[i][0]: items[i] for i in order}.values())


def _to_write(items: list[tuple[bytes, bytes]], transaction: Any) -> list[tuple[bytes, bytes]]:
    """Those that are not older than what is stored, and not the same: a page that is written anew is copied."""
    stored = [transaction.get(key, b"") for key, _ in items]
    kept = not_older(recency([row for _, row in items]), recency(stored))
    triples = zip(items, stored, kept.tolist(), strict=True)
    return [item for item, old, keep in triples if keep and old != item[1]]
