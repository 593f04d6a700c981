"""A thread that looks at files of other processes now and then, off the request path."""

import logging
import threading
from collections.abc import Callable

SECONDS = 1.0

logger = logging.getLogger("bentoml.recommend")


class Poller:
    """Calls ``refresh`` every `SECONDS`, also after a time at which it raised: what is wrong today may be mended."""

    def __init__(self, name: str, refresh: Callable[[], None]) -> None:
        """``name`` is the thread's; it starts with `start`."""
        self._name, self._refresh = name, refresh
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
        said = None
        while not self._stopping.wait(SECONDS):
            try:
                self._refresh()
                said = None
            except Exception as error:
                if repr(error) != said:  # once, not every second
                    said = repr(error)
                    logger.error("%s: %s; tried again every %g s", self._name, said, SECONDS)
