"""The one path from a reader's batches to the event tables. Domain-free."""

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from feature_repo import clock
from feature_repo.errors import RecommendError
from feature_repo.events import EventTable
from feature_repo.home import events_path, quarantine_path, vault_path
from feature_repo.identity import Vault
from feature_repo.ingest.encoding import Encoder
from feature_repo.ingest.publication import publish, workbench
from feature_repo.ingest.quarantine import Quarantine
from feature_repo.ingest.report import IngestReport, QuarantineExceeded, TableCounts
from feature_repo.ingest.rows import Batch
from feature_repo.ingest.staging import Staging
from feature_repo.ingest.validation import reasons

_LONGEST_NAME = 100


def load(
    export: Iterable[Batch],
    tables: Sequence[EventTable],
    workspace: str,
    *,
    lists: Mapping[str, EventTable],
    as_of: datetime | None = None,
    threshold: float = 0.01,
) -> IngestReport:
    """Add what is new in an export to the event tables of a workspace, and list what cannot be read.

    All or nothing: rows wait under the scratch folder until the export is read to its end. The same export
    again adds nothing. Past the threshold only the quarantine table is written, and the vault forgets the
    ids that were met.

    Args:
        export: What a reader found. The rows of a list come before the rows that refer to it.
        tables: The domain's event tables.
        workspace: Its name; it is created where there is none.
        lists: By kind of identity, the table that lists all of that kind. An id that is in neither this
            export's list nor an earlier one's puts its row into quarantine.
        as_of: The present instant (default now; without an offset it is UTC): a later row is in quarantine.
        threshold: The share of bad rows, 0 to 1, past which nothing is added.

    Raises:
        QuarantineExceeded: more rows were bad than ``threshold`` allows.
        RecommendError: the workspace's name is empty or too long, the export has no row, another ingest is
            running, or what the reader raised.
    """
    _check_name(workspace)
    instant = as_of or clock.now()
    instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
    name = f"{clock.now():%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    with workbench(name) as folder, Vault(vault_path()) as vault, _progress() as progress:
        encoder = Encoder(vault, vault.workspace(workspace, create=True))
        bad_rows = folder / "quarantine.parquet"
        with (
            Staging(folder, events_path()) as staging,
            Quarantine(bad_rows, encoder.workspace_id) as quarantine,
        ):
            sink = _Sink(encoder, staging, quarantine, lists, instant)
            sink.read_all(export, progress)
            report = sink.report(workspace, tables, name)
            moves = (
                []
                if report.exceeds(threshold)
                else list(_write(staging, report, tables, folder, name, progress))
            )
        if report.quarantine_path:
            moves.append((bad_rows, report.quarantine_path))
        if report.exceeds(threshold):
            vault.rollback()
            vault.workspace(workspace, create=True)
            vault.commit()
            publish(moves)
            raise QuarantineExceeded(report, threshold)
        vault.commit()  # before publication: an id in a table must be one that the vault can turn back
        publish(moves)
        return replace(report, published=True)


def _write(
    staging: Staging,
    report: IngestReport,
    tables: Sequence[EventTable],
    folder: Path,
    name: str,
    progress: Progress,
) -> Iterator[tuple[Path, Path]]:
    """Write what is new; each file, and where it belongs."""
    task = progress.add_task("writing", total=report.total.kept)
    for table in tables:
        if table.name in report.counts and report.counts[table.name].kept:
            for day, path in staging.write_new(table, folder / table.name).items():
                yield path, events_path() / table.name / f"day={day}" / f"{name}.parquet"
            progress.advance(task, report.counts[table.name].kept)


@dataclass
class _Sink:
    """Sorts rows into staging and quarantine, and counts them."""

    encoder: Encoder
    staging: Staging
    quarantine: Quarantine
    lists: Mapping[str, EventTable]
    as_of: datetime
    read: Counter[str] = field(default_factory=Counter)
    skipped: int = 0

    def __post_init__(self) -> None:
        self._listed: dict[str, set[int]] = {
            kind: self.staging.listed(table, _listing(table, kind), self.encoder.workspace_id)
            for kind, table in self.lists.items()
        }

    def read_all(self, export: Iterable[Batch], progress: Progress) -> None:
        task = progress.add_task("reading", total=1.0)
        for batch in export:
            self._add(batch)
            progress.update(task, completed=batch.done)
        if not self.read.total():
            raise RecommendError("the export has no row in it: check that the path is that of a whole export")

    def _add(self, batch: Batch) -> None:
        table, rows = batch.table, batch.rows
        why = reasons(table, rows, self.as_of, self._unlisted(table, rows))
        self.quarantine.add(table, rows, why)
        good = self.encoder.encode(table, rows.filter(pc.is_null(why)))
        self.staging.add(table, good)
        for kind, listing in self.lists.items():
            if listing == table:
                self._listed[kind].update(good[_listing(table, kind)].to_pylist())
        self.read[table.name] += len(rows)
        self.skipped += batch.skipped

    def _unlisted(self, table: EventTable, rows: pa.RecordBatch) -> dict[str, pa.Array]:
        return {
            column.name: self.encoder.unlisted(kind, rows[column.name], self._listed[kind])
            for kind, listing in self.lists.items()
            for column in table.columns
            if column.identity == kind and listing != table
        }

    def report(self, workspace: str, tables: Sequence[EventTable], name: str) -> IngestReport:
        workspace_id, bad = self.encoder.workspace_id, self.quarantine.by_table
        counts = {}
        for table in tables:
            if table.name in self.read:
                read, kept = self.read[table.name], self.staging.keep_new(table, workspace_id)
                counts[table.name] = TableCounts(
                    read=read,
                    kept=kept,
                    duplicate=read - kept - bad[table.name],
                    quarantined=bad[table.name],
                )
        return IngestReport(
            workspace=workspace,
            workspace_id=workspace_id,
            counts=counts,
            reasons=dict(self.quarantine.by_reason),
            skipped=self.skipped,
            quarantine_path=quarantine_path() / str(workspace_id) / f"{name}.parquet" if bad else None,
            published=False,
        )


def _listing(table: EventTable, kind: str) -> str:
    """The column by which a table lists the ids of a kind: the first of that kind in its key."""
    return next(c.name for c in table.columns if c.identity == kind and c.name in table.key)


def _check_name(workspace: str) -> None:
    if not workspace.strip() or len(workspace) > _LONGEST_NAME:
        raise RecommendError(
            f"the workspace's name has {len(workspace)} characters: give one of 1 to {_LONGEST_NAME}, not only blanks"
        )


@contextmanager
def _progress() -> Iterator[Progress]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress
