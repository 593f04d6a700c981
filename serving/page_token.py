"""The page token: what was shown on the pages before, carried by the caller, so that no page repeats another.

The service keeps nothing of it: any worker answers any page, after a restart too. The token is sealed with a key of
the workspace (keyed BLAKE2b, RFC 7693) and is good for one asker and one recommender only.
"""

import base64
import binascii
import hashlib
import hmac
import zlib
from collections.abc import Sequence

import numpy as np

MOST_SHOWN = 2_000
"""Ids in a token; after so many there is no next page. It has at most 8 bytes an id, mostly 2."""

_SEAL_BYTES = 16


def seal(key: bytes, recommender: str, query_id: int, shown: Sequence[int]) -> str:
    """The token after pages that have shown these ids, in their order."""
    steps = np.diff(np.array(shown, "<i8"), prepend=0).astype("<i8")
    # By significance instead of by id: bytes that are alike stand together.
    payload = zlib.compress(steps.view(np.uint8).reshape(-1, 8).T.tobytes(), 6)
    return (
        base64.urlsafe_b64encode(_seal(key, recommender, query_id, payload) + payload).rstrip(b"=").decode()
    )


def unseal(key: bytes, recommender: str, query_id: int, token: str) -> tuple[int, ...] | None:
    """The ids in a token; None where it is not one of ours for this asker and recommender."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    sealed, payload = raw[:_SEAL_BYTES], raw[_SEAL_BYTES:]
    if not hmac.compare_digest(sealed, _seal(key, recommender, query_id, payload)):
        return None
    steps = np.frombuffer(zlib.decompress(payload), np.uint8).reshape(8, -1).T.copy().view("<i8")
    return tuple(np.cumsum(steps.ravel()).tolist())


def _seal(key: bytes, recommender: str, query_id: int, payload: bytes) -> bytes:
    content = f"{recommender}\0{query_id}\0".encode() + payload
    return hashlib.blake2b(content, digest_size=_SEAL_BYTES, key=key).digest()
