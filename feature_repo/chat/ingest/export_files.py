"""The files of an export, whether it is a folder or a zip file."""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO

from feature_repo.errors import RecommendError

DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError)
"""What reading a damaged member of a zip file raises."""

_ENCRYPTED = 0x1


@dataclass(frozen=True)
class ExportFiles:
    """Names in order, with ``/`` between folders, and the means to open them.

    Args:
        names: Sorted.
        open: Opens one of them for reading bytes.
    """

    names: tuple[str, ...]
    open: Callable[[str], IO[bytes]]

    @cached_property
    def position(self) -> dict[str, int]:
        """From 1, in the order of names: what an error or a quarantined row calls a file by."""
        return {name: n for n, name in enumerate(self.names, start=1)}

    def below(self, folder: str) -> "ExportFiles":
        """Only the files in ``folder``, named from there."""
        prefix = "" if folder == "." else f"{folder}/"
        names = tuple(n.removeprefix(prefix) for n in self.names if n.startswith(prefix))
        return ExportFiles(names, lambda name: self.open(prefix + name))


@contextmanager
def export_files(path: Path) -> Iterator[ExportFiles]:
    """The JSON files of an export.

    Raises:
        RecommendError: it is neither a folder nor a whole zip file, or there is no JSON file in it.
    """
    if path.is_dir():
        names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*.json"))
        yield _checked(path, ExportFiles(tuple(names), lambda name: (path / name).open("rb")))
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError):
        raise RecommendError(f"{path} is not a whole zip file: download it again") from None
    with archive:
        if any(member.flag_bits & _ENCRYPTED for member in archive.infolist()):
            raise RecommendError(f"{path} is encrypted: unpack it and give the folder")
        names = sorted(n for n in archive.namelist() if n.endswith(".json") and not n.startswith("__MACOSX/"))
        yield _checked(path, ExportFiles(tuple(names), archive.open))


def _checked(path: Path, files: ExportFiles) -> ExportFiles:
    if not files.names:
        raise RecommendError(f"{path} holds no JSON file: give the path of the export itself")
    return files


def root_of(files: ExportFiles, landmark: str) -> ExportFiles:
    """The export that ``landmark`` lies at the root of; an archiver may have put a folder around it."""
    places = [PurePosixPath(n) for n in files.names if PurePosixPath(n).name == landmark]
    return files.below(str(min(places, key=lambda p: len(p.parts)).parent)) if places else files
