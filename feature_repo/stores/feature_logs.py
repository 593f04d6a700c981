"""Logs of served features as Parquet files."""

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
from feast.feature_logging import LoggingConfig
from feast.infra.offline_stores.file_source import FileLoggingDestination, FileSource


def write_logged_features(logs: pa.Table | Path, logging: LoggingConfig, repo_path: Path | None) -> None:
    """Add files to the destination's folder, one for every value of ``partition_by``.

    Args:
        logs: The rows, or a file or folder of Parquet that holds them.
        logging: Of the feature service.
        repo_path: From where a relative path counts.

    Raises:
        ValueError: the destination is not of files.
    """
    destination = logging.destination
    if not isinstance(destination, FileLoggingDestination):
        raise ValueError(
            f"logs of features go to files here, not to a {type(destination).__name__}: give the feature service's "
            "logging_config a FileLoggingDestination"
        )
    uri = FileSource.get_uri_for_file_path(repo_path, destination.path)
    filesystem, path = FileSource.create_filesystem_and_path(uri, destination.s3_endpoint_override)
    ds.write_dataset(
        ds.dataset(logs) if isinstance(logs, Path) else logs,
        path,
        format="parquet",
        filesystem=filesystem,
        partitioning=destination.partition_by,
        partitioning_flavor="hive" if destination.partition_by else None,
        basename_template=f"{uuid.uuid4().hex}-{{i}}.parquet",
        existing_data_behavior="overwrite_or_ignore",
    )
