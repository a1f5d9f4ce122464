"""Connections for reading strangers' feeds: no private addresses, a wall-clock end, polite retries.

urllib3 does the work; the three things it leaves to its user are here. An :class:`Exchange` is what a connection has
to know of the feed it is being used for. Nothing here knows what a feed is.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from contextlib import suppress
from contextvars import ContextVar
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from itertools import takewhile
from threading import Timer
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Retry, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import InvalidHeader, MaxRetryError, ResponseError
from urllib3.response import BaseHTTPResponse

from .config import FetchSettings
from .errors import FeedError

RETRY_STATUSES = frozenset({429, 500, 502, 503, 504})
_NAT64 = IPv6Network("64:ff9b::/96")
_exchange: ContextVar[Exchange] = ContextVar("exchange")


def open_pool(settings: FetchSettings) -> PoolManager:
    """Return the connection pool for one run; every thread that uses it does so inside an :class:`Exchange`."""
    pool = PoolManager(num_pools=256, maxsize=settings.per_host, timeout=Timeout(settings.timeout_s))
    pool.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    return pool


def plan_retries(settings: FetchSettings) -> PoliteRetry:
    """Return the retry rule: ``retries`` of every kind of fault, ``max_redirects`` redirects, and then the answer."""
    return PoliteRetry(
        total=settings.retries + settings.max_redirects,
        connect=settings.retries,
        read=settings.retries,
        status=settings.retries,
        other=settings.retries,
        redirect=settings.max_redirects,
        status_forcelist=RETRY_STATUSES,
        raise_on_status=False,
        backoff_factor=settings.backoff_s,
        backoff_jitter=settings.backoff_s,
        retry_after_max=settings.max_retry_after_s + 1,
    )


def is_public(address: str) -> bool:
    """Tell whether ``address``, an IPv4 or IPv6 literal, is one of the open internet.

    An IPv4 address carried inside an IPv6 one (mapped, 6to4, NAT64) is judged as itself.
    """
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        embedded = ip.ipv4_mapped or ip.sixtofour
        ip = embedded or (IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else ip)
    is_special = ip.is_multicast or ip.is_reserved or (isinstance(ip, IPv6Address) and ip.is_site_local)
    return ip.is_global and not is_special


class Exchange:
    """One feed's conversation, redirects and retries included; a context manager for the thread that holds it.

    Each request gets ``deadline_s`` from its sending to the last byte of its answer. A timeout between two reads is not
    enough: a server that drips one byte at a time never trips it. When the time is up the socket is shut down, which
    wakes the reader, and :meth:`check` says why.
    """

    def __init__(self, host: str, deadline_s: float, is_private_allowed: bool) -> None:
        self.host = host
        self.deadline_s = deadline_s
        self.is_private_allowed = is_private_allowed
        self.is_late = False
        self._timer: Timer | None = None

    def __enter__(self) -> Exchange:
        self._token = _exchange.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._disarm()
        _exchange.reset(self._token)

    def watch(self, sock: socket.socket) -> None:
        """Start the clock of one request that is answered over ``sock``."""
        self._disarm()
        self._timer = Timer(self.deadline_s, self._shut, [sock])
        self._timer.daemon = True
        self._timer.start()

    def check(self) -> None:
        """Raise FeedError when the time of a request has run out."""
        if self.is_late:
            raise FeedError(f"not read within {self.deadline_s:g} s")

    def check_address(self, address: str, host: str) -> None:
        """Raise FeedError when ``address``, found for ``host``, must not be talked to."""
        if not (self.is_private_allowed or is_public(address)):
            prefix = "" if host == self.host else "redirect to "
            raise FeedError(f"{prefix}private address {address} refused")

    def _shut(self, sock: socket.socket) -> None:
        self.is_late = True
        with suppress(OSError):  # the other side may have been quicker
            # The method of the plain socket: that of a TLS socket first drops the state the reading thread is using.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _disarm(self) -> None:
        if self._timer:
            self._timer.cancel()


class PoliteRetry(Retry):
    """urllib3's Retry with three manners added.

    It pauses before the first retry too; it gives up where the server asks for a longer pause than we are ready for
    (urllib3 would cut the pause short and come back early); a senseless Retry-After counts as none.
    """

    def get_backoff_time(self) -> float:
        """Return seconds to wait: backoff_factor, doubled per fault in a row, plus up to backoff_jitter."""
        faults: Sequence[Any] = list(takewhile(lambda step: step.redirect_location is None, reversed(self.history)))
        if not faults:
            return 0.0
        pause_s = self.backoff_factor * 2 ** (len(faults) - 1) + random.random() * self.backoff_jitter
        return float(min(self.backoff_max, pause_s))

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Return the pause the server asked for in seconds, at most retry_after_max; None when it asked for none."""
        try:
            return super().get_retry_after(response)
        except InvalidHeader:
            return None

    def increment(self, *args: Any, **kwargs: Any) -> PoliteRetry:
        """Return the rule with one try fewer.

        Raises:
            MaxRetryError: no try is left, or the server asked for a pause of retry_after_max or more.
        """
        response = kwargs.get("response")
        if response is not None and (self.get_retry_after(response) or 0) >= self.retry_after_max:
            raise MaxRetryError(kwargs["_pool"], "", ResponseError("pause asked for is too long"))
        return super().increment(*args, **kwargs)


class _GuardedConnection(HTTPConnection):
    """Looks at the address it really reached, so neither a redirect nor a name that resolves inwards gets through."""

    def _new_conn(self) -> socket.socket:
        exchange = _exchange.get()
        if _is_literal(self.host):
            exchange.check_address(self.host.strip("[]"), self.host)
        sock = super()._new_conn()
        try:
            exchange.check_address(sock.getpeername()[0], self.host)
        except (FeedError, OSError):
            sock.close()
            raise
        return sock

    def getresponse(self) -> Any:
        exchange = _exchange.get()
        exchange.watch(self.sock)
        try:
            return super().getresponse()
        finally:
            exchange.check()


class _GuardedTLSConnection(_GuardedConnection, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _GuardedConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTLSConnection


def _is_literal(host: str) -> bool:
    try:
        ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return True
