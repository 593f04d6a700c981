"""From a folder of its own to the event tables, whole or not at all."""

import fcntl
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from feature_repo.errors import RecommendError
from feature_repo.home import scratch_path


@contextmanager
def workbench(name: str) -> Iterator[Path]:
    """A folder under the scratch folder, removed at the end. One ingest at a time holds one.

    Two at once would each take the same rows for new.

    Raises:
        RecommendError: another ingest is running.
    """
    scratch = scratch_path()
    with (scratch / "ingest.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecommendError(
                "another ingest into this RECOMMEND_HOME is running: wait for it to end"
            ) from None
        for abandoned in scratch.glob(
            "ingest-*"
        ):  # left by a killed process: we hold the lock, so it is nobody's
            shutil.rmtree(abandoned)
        folder = scratch / f"ingest-{name}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def publish(moves: Iterable[tuple[Path, Path]]) -> None:
    """Move each file (source, destination) to where it belongs.

    Each file appears whole (a rename; both folders lie on one file system). An error takes back what
    was moved; after a crash in between, the same ingest again adds exactly what is missing.
    """
    moved: list[Path] = []
    try:
        for source, destination in moves:
            destination.parent.mkdir(parents=True, exist_ok=True)
            source.replace(destination)
            moved.append(destination)
    except BaseException:
        for destination in moved:
            destination.unlink()
        raise
