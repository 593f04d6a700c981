"""The format *events*: a folder with a Parquet, CSV or JSON lines file for each event table.

``messages.parquet``, ``messages.csv`` or ``messages.jsonl``, or a folder ``messages/`` of such files. What the
columns are called is declared in ``event_mapping``.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from feature_repo.chat.events import EVENT_TABLES
from feature_repo.chat.ingest.event_files import READERS, read_file
from feature_repo.chat.ingest.event_mapping import EventMapping, mapping_for, source_of
from feature_repo.chat.ingest.event_translation import Translator, connect
from feature_repo.errors import RecommendError
from feature_repo.events import EventTable
from feature_repo.ingest import Batch


def read(path: Path) -> Iterator[Batch]:
    """Batches of an export's rows, table by table, lists first.

    Raises:
        RecommendError: a table that must be there is missing, a file is damaged, a column is missing or
            holds nothing of the right type, or ``mapping.toml`` is wrong.
    """
    files = _files(path)
    mapping = mapping_for(path)
    total = sum(file.path.stat().st_size for file in files)
    before = 0
    with closing(connect()) as connection:
        for file in files:
            size = file.path.stat().st_size
            translator = Translator(file.table, mapping, file.label, file.position, connection)
            for batch in read_file(file.path, _wanted(mapping, file.table), file.label):
                rows = translator.translate(batch)
                yield Batch(file.table, rows, (before + size * batch.done) / total)
            translator.check()
            before += size


@dataclass(frozen=True)
class _File:
    """One file of one table.

    Args:
        table: The table.
        path: The file.
        position: From 1, in the order of names over the whole export.
        label: What an error calls it: the names of files in a table's folder are content.
    """

    table: EventTable
    path: Path
    position: int
    label: str


def _files(folder: Path) -> list[_File]:
    if not folder.is_dir():
        raise RecommendError(
            f"{folder} is no folder: give the one that holds messages.parquet, .csv or .jsonl"
        )
    found = {table.name: _paths(folder, table) for table in EVENT_TABLES}
    suffixes = ", ".join(READERS)
    if not any(found.values()):
        raise RecommendError(
            f"{folder} holds no event table: name the files messages, users, … with {suffixes}"
        )
    for table in EVENT_TABLES:
        if not found[table.name] and not table.optional:
            raise RecommendError(
                f"{folder} has no {table.name}: every export needs it, as a file with {suffixes}"
            )
    order = {path: n for n, path in enumerate(sorted(p for paths in found.values() for p in paths), start=1)}
    return [
        _File(table, path, order[path], _label(folder, table, path, n))
        for table in EVENT_TABLES
        for n, path in enumerate(found[table.name], start=1)
    ]


def _paths(folder: Path, table: EventTable) -> list[Path]:
    single = [path for suffix in READERS if (path := folder / f"{table.name}{suffix}").is_file()]
    many = sorted(p for p in (folder / table.name).rglob("*") if p.suffix in READERS and p.is_file())
    if len(single) + bool(many) > 1:
        raise RecommendError(f"{folder} has {table.name} more than once, in several forms: leave one")
    return single or many


def _label(folder: Path, table: EventTable, path: Path, n: int) -> str:
    return path.name if path.parent == folder else f"file {n} of {table.name}/ (in the order of names)"


def _wanted(mapping: EventMapping, table: EventTable) -> set[str]:
    sources = [source_of(mapping, table, name) for name in table.schema.names if name != "workspace_id"]
    return {name for source in sources for name in source.columns + source.flag}
