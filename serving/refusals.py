"""Why a caller is turned away, and the mend: problem details with the header fields that the standards ask for.

401 and 403 follow RFC 6750 (bearer tokens), 429 RFC 6585 with the fields of draft-ietf-httpapi-ratelimit-headers-10.
"""

from datetime import datetime

from serving.keys import Scope
from serving.problems import FieldError, Problem, misfit
from serving.rate_limit import NANOSECONDS

_REALM = 'Bearer realm="recommend"'
_SEND = "send `Authorization: Bearer rk_…`"


def no_key() -> Problem:
    """401: no bearer token was sent."""
    return _unauthorized("no-key", "An API key is needed", f"{_SEND}; `recommend keys add` makes a key", None)


def malformed_key() -> Problem:
    """401: what was sent does not look like a key."""
    detail = f"Authorization: this is no key: {_SEND}, one header, the key as `recommend keys add` printed it"
    return _unauthorized("invalid-key", "The API key is not valid", detail, "malformed")


def unknown_key() -> Problem:
    """401: there is no such key, or none any more."""
    detail = "Authorization: the key is unknown or revoked: take a valid one; `recommend keys add` makes it"
    return _unauthorized("invalid-key", "The API key is not valid", detail, "unknown or revoked")


def expired_key(when: datetime) -> Problem:
    """401: the key was valid once."""
    detail = f"Authorization: the key expired at {when:%Y-%m-%dT%H:%M:%SZ}: take a new one; `recommend keys add` makes it"
    return _unauthorized("expired-key", "The API key has expired", detail, "expired")


def missing_scope(needed: Scope) -> Problem:
    """403: the key is for something else."""
    return Problem(
        403,
        "missing-scope",
        "The API key is not for this",
        f"the key lacks the scope {needed}: use one made with `recommend keys add … --scope {needed}`",
        headers={"WWW-Authenticate": f'{_REALM}, error="insufficient_scope", scope="{needed}"'},
    )


def other_workspace(own: str) -> Problem:
    """403: the key is for another workspace than the one that was named, which need not exist."""
    return Problem(
        403,
        "other-workspace",
        "The API key is for another workspace",
        f"workspace: the key opens {own!r} only: leave the field out, or use a key of the other workspace",
    )


def keys_needed() -> Problem:
    """403: not from this machine, and no key is configured."""
    return Problem(
        403,
        "keys-needed",
        "No API key is configured",
        "without keys only clients on the service's own machine are answered, and none through a proxy: "
        "run `recommend keys add NAME --workspace WORKSPACE --scope recommend` there, then send its key",
    )


def foreign_host() -> Problem:
    """403: no key is configured, and the request is for another name than this machine's own."""
    return Problem(
        403,
        "foreign-host",
        "The service was called by a name that is not its own",
        "Host: without keys the service answers to localhost, 127.0.0.1 and [::1] only, so that no web page reaches "
        f"it under a name of its own: use one of them, or make a key and {_SEND}",
    )


def foreign_origin() -> Problem:
    """403: no key is configured, and a web page of another origin sent the request."""
    return Problem(
        403,
        "foreign-origin",
        "The request comes from a web page of another origin",
        "Origin: without keys only the service's own page is answered: open that, call from a program, or make a key "
        f"and {_SEND}",
    )


def too_many(rate: int, wait: int) -> Problem:
    """429: the key's bucket is empty; ``wait`` in ns."""
    seconds = -(-wait // NANOSECONDS)
    return Problem(
        429,
        "too-many-requests",
        "Too many requests",
        f"the key may make {rate} requests a second: wait {seconds} s, or use one made with a higher `--rate`",
        headers={
            "Retry-After": str(seconds),
            "RateLimit-Policy": f'"key";q={rate};w=1',
            "RateLimit": f'"key";r=0;t={seconds}',
        },
    )


def too_many_at_once(rate: int, requests: int) -> Problem:
    """422: a batch of more requests than the key may ever make in a second."""
    mend = f"are {requests}, and the key may make {rate} requests a second: send at most as many in one batch"
    return misfit([FieldError(pointer="#/requests", detail=mend)])


def _unauthorized(kind: str, title: str, detail: str, invalid: str | None) -> Problem:
    error = f', error="invalid_token", error_description="{invalid}"' if invalid else ""
    return Problem(401, kind, title, detail, headers={"WWW-Authenticate": _REALM + error})
