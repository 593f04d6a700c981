"""Which events were logged already, by their ids, so that a repeat is told from a first time."""

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future

REMEMBERED = 100_000
"""Event ids by which repeats are counted, at least. The log's readers drop every repeat, remembered or not."""

_GENERATIONS = 20
_SAFE: "Future[bool]" = Future()
_SAFE.set_result(True)


class EventIds:
    """The latest event ids, each with whether its event is on the disk yet. For any threads.

    Those on the disk are sets by age, of which the oldest goes when the youngest is full: one table of all, with an id
    out for each one in, would be made anew now and then, and larger than before.
    """

    def __init__(self, logged: Iterable[int], most: int = REMEMBERED) -> None:
        """Remember those that were ``logged`` before, oldest first, and of all ids the last ``most``, with up to a
        tenth more."""
        self._lock = threading.Lock()
        self._awaited: dict[int, Future[bool]] = {}
        self._size = max(most // _GENERATIONS, 1)
        self._logged: tuple[set[int], ...] = tuple(set() for _ in range(-(-most // self._size) + 1))
        for event_id in logged:
            self._remember(event_id)

    def logging(self, event_id: int) -> "Future[bool] | None":
        """None for an event that is new; else what becomes True once it is on the disk, or False if it never is."""
        awaited = self._awaited.get(event_id)
        if awaited is not None:
            return awaited
        return _SAFE if any(event_id in generation for generation in self._logged) else None

    def add(self, event_ids: Sequence[int], done: "Future[bool]") -> None:
        """Remember ids that are new, until it turns out that their events never reach the disk."""
        with self._lock:
            self._awaited |= dict.fromkeys(event_ids, done)
        done.add_done_callback(lambda outcome: self._settle(event_ids, outcome.result()))

    def _settle(self, event_ids: Sequence[int], safe: bool) -> None:
        with self._lock:
            for event_id in event_ids:
                if safe:
                    self._remember(event_id)
                del self._awaited[event_id]  # after it is remembered, as `logging` looks without the lock

    def _remember(self, event_id: int) -> None:
        if len(self._logged[-1]) >= self._size:
            self._logged = (*self._logged[1:], set())
        self._logged[-1].add(event_id)
