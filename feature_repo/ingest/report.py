"""What an ingest did, in counts that add up."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from feature_repo.errors import RecommendError


@dataclass(frozen=True)
class TableCounts:
    """Rows of one event table; ``read == kept + duplicate + quarantined``.

    Args:
        read: Rows that the export offered.
        kept: Good rows that were new.
        duplicate: Good rows whose key was stored already, or came earlier in the same export.
        quarantined: Rows that could not be read.
    """

    read: int = 0
    kept: int = 0
    duplicate: int = 0
    quarantined: int = 0

    def __add__(self, other: "TableCounts") -> "TableCounts":
        return TableCounts(
            self.read + other.read,
            self.kept + other.kept,
            self.duplicate + other.duplicate,
            self.quarantined + other.quarantined,
        )


@dataclass(frozen=True)
class IngestReport:
    """What one ingest did.

    Args:
        workspace: The workspace's name.
        workspace_id: Its id.
        counts: By event table; tables that the export does not have are absent.
        reasons: How many rows were quarantined for which reason.
        skipped: Records of the export that are no event of any table; they are not in ``counts``.
        quarantine_path: Where the quarantined rows are listed; None where there are none.
        published: Whether the kept rows were added to the event tables: all of them or none.
    """

    workspace: str
    workspace_id: int
    counts: Mapping[str, TableCounts]
    reasons: Mapping[str, int]
    skipped: int
    quarantine_path: Path | None
    published: bool

    @property
    def total(self) -> TableCounts:
        """The sum over all tables."""
        return sum(self.counts.values(), TableCounts())

    def exceeds(self, threshold: float) -> bool:
        """Whether more than this share (0 to 1) of all rows read was quarantined."""
        return self.total.quarantined > threshold * self.total.read


class QuarantineExceeded(RecommendError):
    """More rows were bad than the threshold allows; none was added to the event tables.

    Attributes:
        report: The counts, with ``published`` false.
    """

    def __init__(self, report: IngestReport, threshold: float) -> None:
        self.report = report
        total = report.total
        reason, times = max(report.reasons.items(), key=lambda item: item[1])
        super().__init__(
            f"{total.quarantined} of {total.read} rows cannot be read, more than the threshold of {threshold:.2%}, "
            f"so that nothing was added; most often ({times} times): {reason}. "
            f"They are listed in {report.quarantine_path}: mend the export, or raise the threshold"
        )
