"""Exports become event tables: validated, de-identified, deduplicated, and published whole or not at all.

Domain-free. A domain brings readers, each of which turns one export format into batches of raw rows
(``rows``), and calls ``load`` with them.
"""

from feature_repo.ingest.pipeline import load
from feature_repo.ingest.report import IngestReport, QuarantineExceeded, TableCounts
from feature_repo.ingest.rows import BadRow, Batch, Row, Skipped, Where, batches, raw_schema

__all__ = [
    "BadRow",
    "Batch",
    "IngestReport",
    "QuarantineExceeded",
    "Row",
    "Skipped",
    "TableCounts",
    "Where",
    "batches",
    "load",
    "raw_schema",
]
