"""JSON files read as a stream, element by element, so that no file need fit into memory."""

from collections.abc import Callable, Iterator
from typing import IO, Any, cast

import ijson

from feature_repo.chat.ingest.export_files import DAMAGE
from feature_repo.errors import RecommendError
from feature_repo.ingest import BadRow

NO_ARRAY = "the file holds no array of records"


def elements(open_file: Callable[[], IO[bytes]], label: str, *, within: str | None = None) -> Iterator[Any]:
    """The elements of the array that a JSON file is, or has under the name ``within``.

    Args:
        open_file: Opens the file; it may be called twice.
        label: What an error calls the file; no name out of the export.
        within: A name under which the array may lie in an object instead.

    Raises:
        BadRow: the file is whole, but it is something else.
        RecommendError: the file is cut off, damaged, or no JSON.
    """
    try:
        with open_file() as stream:
            prefix = _array_prefix(stream, within)
        with open_file() as stream:
            yield from ijson.items(stream, prefix, use_float=True)
    except (ijson.JSONError, *DAMAGE):
        raise RecommendError(f"{label} is cut off or damaged: export it again") from None


def _array_prefix(stream: IO[bytes], within: str | None) -> str:
    for prefix, event, _ in ijson.parse(stream):
        if event == "start_array" and prefix in ("", within):
            return f"{prefix}.item" if prefix else "item"
        if not prefix and event != "start_map" and event != "map_key":
            break
    raise BadRow(NO_ARRAY)


def as_object(element: Any) -> dict[str, Any]:
    """The element, if it is an object.

    Raises:
        BadRow: it is not.
    """
    if not isinstance(element, dict):
        raise BadRow("the record is no JSON object")
    return cast(dict[str, Any], element)


def text_of(record: dict[str, Any], name: str) -> str | None:
    """A string of a record; None where it is absent or null.

    Raises:
        BadRow: it is something else.
    """
    value = record.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRow(f"{name} is no string")
    return value


def number_of(record: dict[str, Any], name: str) -> int | None:
    """A whole number of a record; None where it is absent or null.

    Raises:
        BadRow: it is something else.
    """
    value = record.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**53):
        raise BadRow(f"{name} is no whole number")
    return value


def list_of(record: dict[str, Any], name: str) -> list[Any]:
    """A list of a record; empty where it is absent or null.

    Raises:
        BadRow: it is something else.
    """
    value = record.get(name)
    if value is not None and not isinstance(value, list):
        raise BadRow(f"{name} is no list")
    return value or []
