"""The latest ids of a log table, from its Parquet files: what a restarted process should remember."""

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

logger = logging.getLogger("bentoml.recommend")


def recent_ids(folder: Path, column: str, most: int) -> NDArray[np.int64]:
    """The ids that were logged last, oldest first.

    Args:
        folder: The table's folder.
        column: An int64 column.
        most: At most so many; as many files are read as it takes, the latest written first.

    Returns:
        int64, ``[at most most]``.
    """
    found: list[NDArray[np.int64]] = []
    missing = most
    for path in sorted(folder.glob("day=*/*.parquet"), key=lambda p: p.stat().st_mtime_ns, reverse=True):
        if missing <= 0:
            break
        try:
            with pq.ParquetFile(path) as file:
                ids = file.read(columns=[column])[column].to_numpy()
        except (pa.ArrowInvalid, OSError) as error:
            logger.warning("%s cannot be read, so that its %s are not remembered: %s", path, column, error)
            continue
        found.append(ids[-missing:])
        missing -= len(ids)
    return np.concatenate(found[::-1]) if found else np.zeros(0, np.int64)
