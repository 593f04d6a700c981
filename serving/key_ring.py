"""Which API keys are valid at this moment: follows the key file, so that a rotation needs no restart."""

import hmac
import logging
import secrets
from pathlib import Path

from feature_repo.errors import RecommendError
from serving import keys
from serving.keys import KEYLESS, Key
from serving.poller import Poller

_NOBODY = keys.digest(secrets.token_bytes())

logger = logging.getLogger("bentoml.recommend")

_Stamp = tuple[int, int]


class KeyRing:
    """The keys of one file. A change is one assignment, so a reader sees all the keys of before or of after.

    A file that is damaged or gone is refused with one line in the log, and the keys known before stay valid:
    a mishap with the file neither opens the service to everybody nor closes it to all.
    """

    def __init__(self, path: Path) -> None:
        """Read the keys.

        Raises:
            RecommendError: there is a file, but it cannot be read.
        """
        self._path = path
        self._stamp = _stamp(path)
        self._keys = _by_id(keys.read(path))
        self._poller = Poller("api-keys", self.refresh)
        if self._keys is None:
            logger.warning(KEYLESS)
        else:
            logger.info("%d API keys in %s", len(self._keys), path)

    def start(self) -> None:
        """Look for changes from now on, off the request path."""
        self._poller.start()

    def close(self) -> None:
        """Stop looking."""
        self._poller.close()

    @property
    def keyless(self) -> bool:
        """Whether no key was ever configured; false once the last one is revoked."""
        return self._keys is None

    def find(self, key_id: str, secret: bytes) -> Key | None:
        """The key with that id and secret, expired or not. A wrong id costs as much time as a wrong secret."""
        key = (self._keys or {}).get(key_id)
        matches = hmac.compare_digest(keys.digest(secret), key.digest if key else _NOBODY)
        return key if matches else None

    def refresh(self) -> None:
        """Take up what changed since the last look."""
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return
            self._stamp = stamp  # taken before the file is read: what changes in between is seen next time
            changed = _by_id(keys.read(self._path))
            if changed is None:
                raise RecommendError(f"{self._path} is gone: restore it, or restart to serve without keys")
        except RecommendError as error:
            logger.error("%s; the API keys known before stay valid", error)
            return
        self._keys = changed
        logger.info("%d API keys in %s", len(changed), self._path)


def _by_id(read: tuple[Key, ...] | None) -> dict[str, Key] | None:
    return None if read is None else {key.id: key for key in read}


def _stamp(path: Path) -> _Stamp | None:
    """Changes with every replacement: two within one tick of the file system's clock differ in their inode."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RecommendError(f"{path} cannot be looked at ({error.strerror})") from None
    return status.st_mtime_ns, status.st_ino
