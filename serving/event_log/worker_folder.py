"""The folder of one process's segments, and how to tell a process that lives from one that is dead.

A process holds an exclusive ``flock(2)`` on the file ``lock`` of its folder. The kernel lets go of it when the
process ends, however it ends, so that whoever gets the lock may take the folder over.
"""

import fcntl
import os
import secrets
from pathlib import Path
from typing import Self

from feature_repo.clock import now

_LOCK = "lock"


class WorkerFolder:
    """A folder of segments that this process alone may read, write and delete."""

    def __init__(self, path: Path, lock: int) -> None:
        """Use `create` or `take`."""
        self.path, self._lock = path, lock

    @classmethod
    def create(cls, root: Path) -> Self:
        """A folder of our own under ``root``, with a name that was never used before.

        Raises:
            OSError: ``root`` takes no folder.
        """
        while True:
            path = root / f"{now():%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
            path.mkdir(parents=True)
            if (found := cls.take(path, new=True)) is not None:
                return found

    @classmethod
    def take(cls, path: Path, *, new: bool = False) -> Self | None:
        """A folder that is there; None where a living process has it, or somebody takes it away just now.

        Raises:
            OSError: it cannot be looked into.
        """
        try:
            lock = os.open(path / _LOCK, os.O_RDWR | (os.O_CREAT if new else 0), 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_nlink:
                return cls(path, lock)
        except BlockingIOError:
            pass
        except OSError:
            os.close(lock)
            raise
        os.close(lock)
        return None

    @property
    def name(self) -> str:
        """The process's name."""
        return self.path.name

    def release(self) -> None:
        """Let others have it, with the segments that are in it."""
        os.close(self._lock)

    def remove(self) -> None:
        """Take the folder away, if it holds no segment, and let go of it.

        Raises:
            OSError: something else lies in it.
        """
        (self.path / _LOCK).unlink(missing_ok=True)
        self.path.rmdir()
        self.release()
