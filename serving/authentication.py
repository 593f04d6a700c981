"""Who calls: from a request's header and address to a caller, or a refusal."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv6Address, ip_address

import starlette.types

from feature_repo.clock import now
from serving import refusals
from serving.key_ring import KeyRing
from serving.keys import Key, Scope, parse
from serving.metrics import REFUSALS
from serving.problems import Problem
from serving.rate_limit import RateLimiter

_BEARER = re.compile(rb"bearer(?: +(.*))?", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(r"(?:localhost|\[::1\]|(?P<address>[0-9.]+))(?::[0-9]{1,5})?", re.IGNORECASE)
_FORWARDED = frozenset((b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"))


@dataclass(frozen=True)
class Caller:
    """Who may do what.

    Args:
        key_id: The key's public part; None for a client on this machine while there are no keys.
        own_workspace: The only workspace that it may see; None for any.
        scopes: What it may do.
        rate: Requests a second; None without limit.
    """

    key_id: str | None
    own_workspace: str | None
    scopes: frozenset[Scope]
    rate: int | None = None

    def may(self, scope: Scope) -> bool:
        """Whether it may do this."""
        return scope in self.scopes or "admin" in self.scopes

    def workspace(self, named: str | None) -> str | None:
        """The name of the workspace that its request is about; None where that is left to the service.

        Raises:
            Problem: 403 where the request names a workspace that is not the caller's.
        """
        if self.own_workspace is None:
            return named
        if named is not None and named != self.own_workspace:
            raise _counted(refusals.other_workspace(self.own_workspace))
        return self.own_workspace


LOCAL = Caller(None, None, frozenset(("admin",)))
"""A client on this machine, while no key is configured."""


class Gate:
    """Lets callers in. Belongs to the event loop: it waits for nothing, and two threads must not share it."""

    def __init__(
        self,
        ring: KeyRing,
        wall_clock: Callable[[], datetime] = now,
        nanoseconds: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """``nanoseconds`` is a clock that never goes back."""
        self._ring, self._wall_clock, self._nanoseconds = ring, wall_clock, nanoseconds
        self._limiter = RateLimiter()

    def admit(self, request: starlette.types.Scope, needed: Scope) -> Caller:
        """Who sent the request, once it is known that they may do what is ``needed``.

        Args:
            request: The ASGI scope of an HTTP request.
            needed: What its route asks for.

        Raises:
            Problem: 401 without a valid key; 403 where the key is for something else, or there are no keys
                and the client is not on this machine or is a browser that shows a stranger's page; 429 where
                the key is used too often.
        """
        try:
            return self._admitted(request, needed)
        except Problem as refusal:
            _counted(refusal)
            raise

    def charge(self, caller: Caller, requests: int) -> None:
        """Count so many requests more against the caller's rate: those of a batch beyond the first.

        Raises:
            Problem: 429 where there are more than the rate allows now; 422 where there are more than it ever does.
        """
        if caller.key_id is None or caller.rate is None or not requests:
            return
        if requests >= caller.rate:
            raise _counted(refusals.too_many_at_once(caller.rate, requests + 1))
        if wait := self._limiter.take(caller.key_id, caller.rate, self._nanoseconds(), requests):
            raise _counted(refusals.too_many(caller.rate, wait))

    def _admitted(self, request: starlette.types.Scope, needed: Scope) -> Caller:
        if self._ring.keyless:
            if not _on_this_machine(request):
                raise refusals.keys_needed()
            _check_page(request)
            return LOCAL
        key = self._key(request)
        if wait := self._limiter.take(key.id, key.rate, self._nanoseconds()):
            raise refusals.too_many(key.rate, wait)
        caller = Caller(key.id, key.workspace, frozenset(key.scopes), key.rate)
        if not caller.may(needed):
            raise refusals.missing_scope(needed)
        return caller

    def _key(self, request: starlette.types.Scope) -> Key:
        sent = [value for name, value in request["headers"] if name == b"authorization"]
        bearer = _BEARER.fullmatch(sent[0]) if len(sent) == 1 else None
        if not sent or (len(sent) == 1 and bearer is None):
            raise refusals.no_key()
        token = parse(bearer[1].rstrip(b" \t")) if bearer and bearer[1] else None
        if token is None:
            raise refusals.malformed_key()
        key = self._ring.find(*token)
        if key is None:
            raise refusals.unknown_key()
        if key.expires is not None and key.expires <= self._wall_clock():
            raise refusals.expired_key(key.expires)
        return key


def _counted(refusal: Problem) -> Problem:
    REFUSALS.labels(refusal.kind).inc()
    return refusal


def _on_this_machine(request: starlette.types.Scope) -> bool:
    """Whether the client's address is a loopback one, and no proxy says that it forwards for somebody else."""
    client = request.get("client")
    if client is None or any(name in _FORWARDED for name, _ in request["headers"]):
        return False
    return _is_loopback(client[0])


def _check_page(request: starlette.types.Scope) -> None:
    """A browser on this machine shows strangers' pages too, and their requests come from a loopback address. They
    are told by their headers, which a page cannot set: `Host` where the page's own name was made to point here (DNS
    rebinding), `Origin` where the page sends across sites.

    Raises:
        Problem: 403 where the request may be such a page's.
    """
    hosts = [value for name, value in request["headers"] if name == b"host"]
    if len(hosts) != 1 or not _names_this_machine(hosts[0].decode("latin-1")):
        raise refusals.foreign_host()
    own = {scheme + hosts[0].lower() for scheme in (b"http://", b"https://")}
    if any(name == b"origin" and value.lower() not in own for name, value in request["headers"]):
        raise refusals.foreign_origin()


def _names_this_machine(host: str) -> bool:
    """Whether a `Host` header has the form that it takes for a loopback interface."""
    found = _HOST.fullmatch(host)
    return found is not None and (found["address"] is None or _is_loopback(found["address"]))


def _is_loopback(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
