"""The log of what was served and what came of it: nothing that was acknowledged is lost, and nobody waits for long.

    append ─▶ group commit ─▶ segment of the write-ahead log ─▶ rotation ─▶ Parquet, one folder per day
    columns    group_commit      segment, frames, worker_folder    rotation     day_files

Rows are encoded on the caller's thread and written by another, many callers' rows in one ``write(2)``. From then
on they are the kernel's, and a ``kill -9`` of the service cannot take them; ``fdatasync(2)`` follows, one for
many writes, so that a power cut cannot either. What waits for which of the two:

- An *outcome* is acknowledged only after the ``fdatasync`` of its group.
- An *impression* is acknowledged after its write; the sync follows within `Settings.sync_seconds`. With
  ``RECOMMEND_LOG_SYNC=answer`` the answer waits for the sync too.
- An answer waits `Settings.budget` seconds at most. Past it, it is given all the same: its rows stay in memory,
  are written when the disk takes them again, and are counted as ``late``. Where memory for that runs out, rows
  are counted as ``dropped``, which the health page calls unlogged.

About once a second the segment in use is closed, and its rows go into the Parquet files of their days.
"""

from serving.event_log.columns import Layout, float_lists
from serving.event_log.group_commit import WRITER
from serving.event_log.log import EventLog
from serving.event_log.settings import Settings

__all__ = ["WRITER", "EventLog", "Layout", "Settings", "float_lists"]
