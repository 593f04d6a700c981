"""The page token: what was shown on the pages before, carried by the caller, so that no page repeats another.

The service keeps nothing of it: any worker answers any page, after a restart too. The token is sealed (keyed BLAKE2b,
RFC 7693) with a key that the workspace, the recommender and the asker have of their own, and is good for no other.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

MOST_SHOWN = 1_000
"""Ids in a token; after so many there is no next page. An id takes 1, 2, 4 or 8 bytes, mostly 2."""

_KEY_BYTES, _SEAL_BYTES, _FIRST_BYTES = 32, 16, 8
_WIDTHS = tuple(np.dtype(t) for t in ("u1", "<u2", "<u4", "<u8"))


def own_key(workspace_key: bytes, recommender: str, asker: str) -> bytes:
    """The key of one asker. By the caller's id, not ours, which is not known while the vault is not."""
    content = f"{recommender}\0{asker}".encode()
    return hashlib.blake2b(content, digest_size=_KEY_BYTES, key=workspace_key).digest()


def seal(key: bytes, shown: Iterable[int]) -> str:
    """The token after pages that have shown these ids; at least one."""
    ids = sorted(set(shown))
    steps = [after - before for before, after in pairwise(ids)]
    largest = max(steps, default=0)
    width = next(n for n, w in enumerate(_WIDTHS) if largest < 1 << 8 * w.itemsize)
    payload = (
        ids[0].to_bytes(_FIRST_BYTES, "little", signed=True)
        + bytes([width])
        + b"".join(step.to_bytes(_WIDTHS[width].itemsize, "little") for step in steps)
    )
    token = _seal(key, payload) + payload
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def unseal(key: bytes, token: str) -> tuple[int, ...] | None:
    """The ids in a token, ascending; None where it was not sealed with this key."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    sealed, payload = raw[:_SEAL_BYTES], raw[_SEAL_BYTES:]
    if not hmac.compare_digest(sealed, _seal(key, payload)):
        return None
    first, width, steps = payload[:_FIRST_BYTES], payload[_FIRST_BYTES], payload[_FIRST_BYTES + 1 :]
    apart = np.frombuffer(steps, _WIDTHS[width]).astype(np.int64)
    return tuple(np.cumsum([int.from_bytes(first, "little", signed=True), *apart]).tolist())


def _seal(key: bytes, payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_SEAL_BYTES, key=key).digest()
