"""API keys at rest: one small file of hashes under the state folder, mode 0600, replaced whole.

A key is ``rk_<id>_<secret>``. Its secret has 256 random bits, so nobody can search for it, and one BLAKE2b is
enough: scrypt and its like slow a search down, which only a password that a person chose has to fear, and would
cost each request tens of milliseconds. Who reads the file learns ids and workspaces, but no key.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from feature_repo.clock import now
from feature_repo.errors import RecommendError

Scope = Literal["recommend", "outcomes", "admin"]
"""What a key may be used for; ``admin`` contains the others."""

SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFAULT_RATE, MAX_RATE = 200, 1_000_000
"""Requests a second."""

KEYLESS = (
    "no API key is configured, so only clients on this machine are answered: "
    "`recommend keys add NAME --workspace WORKSPACE --scope recommend` lets others in"
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_ID_BYTES, _SECRET_BYTES = 6, 32
_TOKEN = re.compile(rb"rk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class Key:
    """What is kept of a key.

    Args:
        id: Its public part, 12 hexadecimal digits.
        name: Whose it is; several keys may share a name, as the old and the new one do in a rotation.
        workspace: The only one that it opens, by the name it is ingested under.
        scopes: What it may be used for.
        rate: Requests a second, in each worker process.
        created: When.
        expires: From when on it is refused; None for never.
        last_four: The end of its secret, by which a person recognizes it.
        digest: BLAKE2b-256 of its secret.
    """

    id: str
    name: str
    workspace: str
    scopes: tuple[Scope, ...]
    rate: int
    created: datetime
    expires: datetime | None
    last_four: str
    digest: bytes


def parse(token: bytes) -> tuple[str, bytes] | None:
    """Id and secret of a well-formed key, None for anything else."""
    found = _TOKEN.fullmatch(token)
    return (found[1].decode(), found[2]) if found else None


def digest(secret: bytes) -> bytes:
    """What is kept of a secret, 32 bytes."""
    return hashlib.blake2b(secret, digest_size=32, person=b"recommend-key").digest()


def read(path: Path) -> tuple[Key, ...] | None:
    """The keys in order of their creation, None where there is no file.

    Raises:
        RecommendError: the file cannot be read, or is damaged.
    """
    try:
        return tuple(_parsed(document) for document in json.loads(path.read_bytes())["keys"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RecommendError(
            f"the API keys in {path} cannot be read ({error.strerror}): "
            "let the user that serves own the file, with mode 0600"
        ) from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        # The error's text may quote the file.
        raise RecommendError(
            f"the API keys in {path} are damaged ({type(error).__name__}): restore the file, "
            "or delete it and add the keys anew"
        ) from None


def add(
    path: Path,
    name: str,
    workspace: str,
    scopes: Sequence[str],
    rate: int = DEFAULT_RATE,
    expires: datetime | None = None,
) -> tuple[Key, str]:
    """Make a key. Its text is answered here and kept nowhere.

    Raises:
        RecommendError: an argument is out of bounds, or the file is damaged.
    """
    created = now()
    _check(name, workspace, scopes, rate)
    if expires is not None and expires <= created:
        raise RecommendError(f"--expires {expires:%Y-%m-%dT%H:%M:%SZ} is past: choose a later instant")
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    key = Key(
        id=secrets.token_hex(_ID_BYTES),
        name=name,
        workspace=workspace,
        scopes=tuple(scope for scope in SCOPES if scope in scopes),
        rate=rate,
        created=created,
        expires=expires,
        last_four=secret[-4:],
        digest=digest(secret.encode()),
    )
    with _locked(path):
        _replace(path, [*(read(path) or ()), key])
    return key, f"rk_{key.id}_{secret}"


def revoke(path: Path, key_id: str) -> Key:
    """Remove a key. The file stays when its last key goes: the service then answers nobody, not everybody.

    Raises:
        RecommendError: there is no key of that id, or the file is damaged.
    """
    with _locked(path):
        keys = {key.id: key for key in read(path) or ()}
        if key_id not in keys:
            raise RecommendError(f"no key has the id {key_id!r}: `recommend keys list` shows the ids")
        revoked = keys.pop(key_id)
        _replace(path, list(keys.values()))
    return revoked


def _check(name: str, workspace: str, scopes: Sequence[str], rate: int) -> None:
    if not _NAME.fullmatch(name):
        raise RecommendError(
            f"{name!r} is no name for a key: take 1 to 64 letters, digits, spaces, dots, dashes or underscores"
        )
    if not 1 <= len(workspace) <= 256:
        raise RecommendError("--workspace takes the name that it is ingested under, up to 256 characters")
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise RecommendError(f"there is no scope {unknown[0]!r}: choose from {', '.join(SCOPES)}")
    if not scopes:
        raise RecommendError(f"a key without a scope opens nothing: give --scope, one of {', '.join(SCOPES)}")
    if not 1 <= rate <= MAX_RATE:
        raise RecommendError(f"--rate {rate} is out of bounds: choose 1 to {MAX_RATE} requests a second")


def _parsed(document: object) -> Key:
    match document:
        case {
            "id": str(id_),
            "name": str(name),
            "workspace": str(workspace),
            "scopes": list(scopes),
            "rate": int(rate),
            "created": str(created),
            "expires": str() | None as expires,
            "last_four": str(last_four),
            "digest": str(hexadecimal),
        } if rate > 0 and set(scopes) <= set(SCOPES):
            return Key(
                id=id_,
                name=name,
                workspace=workspace,
                scopes=tuple(scope for scope in SCOPES if scope in scopes),
                rate=rate,
                created=_instant(created),
                expires=None if expires is None else _instant(expires),
                last_four=last_four,
                digest=bytes.fromhex(hexadecimal),
            )
    raise ValueError("a key lacks a field, or one is not what it should be")


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant lacks its offset")
    return instant


def _replace(path: Path, keys: Sequence[Key]) -> None:
    documents = [asdict(key) | {"digest": key.digest.hex()} for key in keys]
    # mkstemp's mode is 0600, so that the file is never open to others, not even while it is written.
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump({"keys": documents}, file, default=datetime.isoformat, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink()
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One change at a time: two at once would each write a file without the other's key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
