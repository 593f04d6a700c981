"""Exports of a chat workspace: one file per format, each a reader of raw rows.

Nothing but ids, lengths, counts and time stamps leaves a reader; ids go on to the vault.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from feature_repo.chat.events import CHANNELS, EVENT_TABLES
from feature_repo.chat.ingest import events, slack_export, zulip_archive
from feature_repo.errors import RecommendError
from feature_repo.ingest import Batch, IngestReport, load

Reader = Callable[[Path], Iterator[Batch]]

FORMATS: Mapping[str, Reader] = {
    "events": events.read,
    "slack-export": slack_export.read,
    "zulip-archive": zulip_archive.read,
}


def ingest(
    path: Path, format: str, workspace: str, *, as_of: datetime | None = None, threshold: float = 0.01
) -> IngestReport:
    """Add what is new in an export to the event tables of a workspace.

    Args:
        path: The export's folder, or its zip file (slack-export).
        format: One of ``FORMATS``.
        workspace: The workspace's name; it is created where there is none.
        as_of: The present instant (default now); later rows are in quarantine.
        threshold: The share of bad rows, 0 to 1, past which nothing is added.

    Raises:
        QuarantineExceeded: more rows were bad than ``threshold`` allows; it carries the report.
        RecommendError: the format, the path, the workspace's name, or a file as a whole is wrong; nothing
            was added.
    """
    if format not in FORMATS:
        raise RecommendError(f"no export format named {format!r}: choose one of {', '.join(FORMATS)}")
    if not path.exists():
        raise RecommendError(f"{path} does not exist: give the path of the export")
    return load(
        FORMATS[format](path),
        EVENT_TABLES,
        workspace,
        lists={"channel": CHANNELS},
        as_of=as_of,
        threshold=threshold,
    )
