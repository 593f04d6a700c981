"""Which events were logged already, by their ids, so that a repeat is told from a first time."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future

REMEMBERED = 100_000
"""Event ids by which repeats are counted. The log's readers drop every repeat, remembered or not."""

_SAFE: "Future[bool]" = Future()
_SAFE.set_result(True)


class EventIds:
    """The latest event ids, each with whether its event is on the disk yet. For any threads."""

    def __init__(self, logged: Iterable[int]) -> None:
        """Remember those that were ``logged`` before, oldest first."""
        self._lock = threading.Lock()
        self._known: OrderedDict[int, Future[bool]] = OrderedDict.fromkeys(logged, _SAFE)

    def logging(self, event_id: int) -> "Future[bool] | None":
        """None for an event that is new; else what becomes True once it is on the disk, or False if it never is."""
        return self._known.get(event_id)

    def add(self, event_ids: Sequence[int], done: "Future[bool]") -> None:
        """Remember new ids, until it turns out that their events never reach the disk."""
        with self._lock:
            self._known.update(dict.fromkeys(event_ids, done))
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        done.add_done_callback(lambda outcome: self._settle(event_ids, outcome))

    def _settle(self, event_ids: Sequence[int], done: "Future[bool]") -> None:
        with self._lock:
            for event_id in event_ids:
                if self._known.get(event_id) is not done:
                    continue
                if done.result():
                    self._known[event_id] = _SAFE
                else:
                    del self._known[event_id]
