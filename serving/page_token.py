"""The page token: what was shown on the pages before, carried by the caller, so that no page repeats another.

The service keeps nothing of it: any worker answers any page, after a restart too. The token is sealed with a key of
the workspace (keyed BLAKE2b, RFC 7693) and is good for one asker and one recommender only.
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

_SEAL_BYTES, _FIRST_BYTES = 16, 8
_WIDTHS = tuple(np.dtype(t) for t in ("u1", "<u2", "<u4", "<u8"))


def seal(key: bytes, recommender: str, query_id: int, shown: Iterable[int]) -> str:
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
    token = _seal(key, recommender, query_id, payload) + payload
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def unseal(key: bytes, recommender: str, query_id: int, token: str) -> tuple[int, ...] | None:
    """The ids in a token, ascending; None where it is not one of ours for this asker and recommender."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    sealed, payload = raw[:_SEAL_BYTES], raw[_SEAL_BYTES:]
    if not hmac.compare_digest(sealed, _seal(key, recommender, query_id, payload)):
        return None
    first, width, steps = payload[:_FIRST_BYTES], payload[_FIRST_BYTES], payload[_FIRST_BYTES + 1 :]
    apart = np.frombuffer(steps, _WIDTHS[width]).astype(np.int64)
    return tuple(np.cumsum([int.from_bytes(first, "little", signed=True), *apart]).tolist())


def _seal(key: bytes, recommender: str, query_id: int, payload: bytes) -> bytes:
    content = f"{recommender}\0{query_id}\0".encode() + payload
    return hashlib.blake2b(content, digest_size=_SEAL_BYTES, key=key).digest()
