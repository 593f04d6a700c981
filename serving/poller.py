"""A thread that looks at files of other processes now and then, off the request path."""

import threading
from collections.abc import Callable

from serving.faults import Faults

SECONDS = 1.0


class Poller:
    """Calls ``refresh`` every `SECONDS`, also after a time at which it raised: what is wrong today may be mended."""

    def __init__(self, name: str, refresh: Callable[[], None]) -> None:
        """``name`` is the thread's; it starts with `start`."""
        self._name, self._refresh, self._faults = name, refresh, Faults()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(SECONDS):
            with self._faults.watch(self._name):
                self._refresh()
