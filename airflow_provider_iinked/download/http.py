"""
The recording's host: a signed URL, fetched without credentials, over https, redirects checked one by one.

urllib3 opens the connection (TLS, CA bundles, proxies); the request is written here, since requests and urllib3
normalise an address before they send it, and a signature over its text no longer fits then. Nothing of the host is
documented beyond "download or playback", so nothing is taken for granted.
"""

from __future__ import annotations

import contextlib
import re
import ssl
import time
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError

from airflow_provider_iinked.api.answer_cutoff import CutOffConnection
from airflow_provider_iinked.api.errors import root_cause
from airflow_provider_iinked.api.live_connections import LiveConnections, live_adapter
from airflow_provider_iinked.api.network import USER_AGENT, Route, find_route
from airflow_provider_iinked.api.settings import is_loopback
from airflow_provider_iinked.exceptions import TransferError

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 5
_FLUSH_AFTER: Final = 0.5
_PARTS: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<netloc>[^/?#]*)(?P<target>[^#]*)")
_NOT_IN_A_REQUEST_LINE: Final = re.compile(r"[\x00-\x1f\x7f]")


class HostConnectionError(Exception):
    """The recording's host was not reached, or broke off; another try may help. Never leaves this package."""


class RecordingStream:
    """
    The response of a recording's host, its body not read yet.

    :param response: the response, its head read.
    """

    def __init__(self, response: HTTPResponse) -> None:
        self._response = response
        self._error: Exception | None = None
        self._buffer = bytearray()
        self.status = response.status
        headers: dict[str, list[str]] = {}
        for name, value in response.getheaders():
            headers.setdefault(name.lower(), []).append(re.sub(r"\s*[\r\n]+\s*", " ", value))
        self.headers: Mapping[str, str] = {name: ", ".join(values) for name, values in headers.items()}
        self.location = next(iter(headers.get("location", ())), None)

    def read(self, size: int, *, minimum: int = 1) -> bytes:
        """
        Read the next chunk. A slow host's bytes are not waited for until a chunk is full.

        :param size: how much at most.
        :param minimum: how much at least, unless the body ends before.
        :return: the bytes; none at the end.
        :raises HostConnectionError: when the host breaks off; bytes that arrived before are returned first.
        """
        if self._error is not None:
            raise _not_reached(self._error)
        if len(self._buffer) != size:
            self._buffer = bytearray(size)
        filled = 0
        flush_at = time.monotonic() + _FLUSH_AFTER
        with memoryview(self._buffer) as view:
            try:
                while filled < size and (count := self._read_into(view[filled:])):
                    filled += count
                    if filled >= minimum and time.monotonic() > flush_at:
                        break
            except (HTTPException, OSError, ValueError) as error:
                if not filled:
                    raise _not_reached(error) from None
                self._error = error
            return bytes(view[:filled])

    def _read_into(self, view: memoryview) -> int:
        """Take what is there with one call of the system. One buffer for all: many small ones fragment the memory."""
        response = self._response
        if response.chunked or response.fp is None:
            piece = response.read1(len(view))
            view[: len(piece)] = piece
            return len(piece)
        count: int = response.fp.readinto1(view if response.length is None else view[: response.length])
        if response.length is not None:
            response.length -= count
        return count

    def close(self) -> None:
        """Let go of the body."""
        with contextlib.suppress(Exception):
            self._response.close()


class RecordingHosts:
    """How the hosts of recordings are reached: found out once a task, with one TLS context. Threads may share it."""

    def __init__(self) -> None:
        self._adapter = live_adapter(LiveConnections(), CutOffConnection)
        self._routes: dict[str, Route] = {}

    def connection(self, origin: requests.PreparedRequest, live: LiveConnections) -> tuple[Any, Any, Route]:
        """
        Make a connection to a host, through the proxy of the environment where there is one.

        :param origin: a request to the host's root.
        :param live: takes note of the connection.
        :return: the connection, not open yet; the pool that made it; the way that it goes.
        :raises ConnectionSettingsError: when the environment names a way that cannot be gone.
        """
        url = origin.url or ""
        route = self._routes.get(url)
        if route is None:
            route = self._routes[url] = find_route(url)
        proxies = {"http": route.proxy, "https": route.proxy} if route.proxy else {}
        pool: Any = self._adapter.get_connection_with_tls_context(origin, route.ca_bundle, proxies=proxies)
        connection = pool._new_conn()
        connection.live = live
        if pool.scheme == "https":
            # Left to itself it reads the bundle for each connection, which takes longer than a small recording.
            connection.ssl_context, connection.ca_certs, connection.ca_cert_dir = route.tls_context(), None, None
        return connection, pool, route


class RecordingHost:
    """
    The way to a recording's host. One request at a time; each goes over a new connection, since a host may close the
    old one after any response.

    :param timeout: seconds for connecting, and for each read.
    :param hosts: how hosts are reached.
    """

    def __init__(self, timeout: float, hosts: RecordingHosts) -> None:
        self._timeout = timeout
        self._hosts = hosts
        self._live = LiveConnections()
        self._connection: Any = None
        self._proxy_headers: Mapping[str, str] = {}
        self._closed = False

    def open(self, url: str, headers: Mapping[str, str]) -> RecordingStream:
        """
        Request a recording, along redirects.

        :param url: the signed URL; it never gets into an error or a log.
        :param headers: Range and its like; never a credential.
        :return: the response.
        :raises HostConnectionError: when the host was not reached, or broke off.
        :raises TransferError: when a URL on the way must not be followed.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            stream = self._get(url, headers)
            if stream.status not in _REDIRECTS or not stream.location:
                return stream
            stream.close()
            url = follow(url, stream.location)
        raise TransferError(f"The recording's host redirects more than {_MAX_REDIRECTS} times; not followed further.")

    def _get(self, url: str, headers: Mapping[str, str]) -> RecordingStream:
        check_recording_url(url)
        try:
            self._connect(url)
            self._connection.sock.sendall(self._head(url, headers))
            response = self._connection.response_class(self._connection.sock, method="GET")
            response.begin()
            # The clock was for the head: a large recording takes as long as it takes.
            self._connection.answer_clock = None
            self._connection.sock.settimeout(self._timeout)
            return RecordingStream(response)
        except (requests.RequestException, HTTPException, HTTPError, OSError, ValueError, AttributeError) as error:
            raise _not_reached(error) from None

    def _connect(self, url: str) -> None:
        """Open a connection."""
        self._drop()
        connection, pool, route = self._hosts.connection(_origin(url), self._live)
        connection.timeout = self._timeout
        self._connection = connection
        self._proxy_headers = pool.proxy_headers if pool.proxy is not None and pool.scheme == "http" else {}
        try:
            if pool.proxy is not None and pool.scheme == "https":
                pool._prepare_proxy(connection)
            else:
                connection.connect()
        except (HTTPError, OSError) as error:
            if not isinstance(root_cause(error), ssl.SSLCertVerificationError):
                raise
            raise TransferError(
                f"The certificate of the recording's host is not trusted by {route.trust}; nothing was published. "
                "Add the certificate of its authority, or correct the variable."
            ) from None
        if self._closed:
            self._drop()
            raise OSError("closed")

    def _head(self, url: str, headers: Mapping[str, str]) -> bytes:
        """Write the request's head, with the target byte for byte as it was given."""
        origin = _origin(url)
        parts = urlsplit(origin.url or "")
        host = parts.netloc.rpartition("@")[2]
        target = request_target(url)
        if self._connection.proxy is not None and parts.scheme == "http":
            target = f"http://{host}{target}"
        lines = {
            "Host": host,
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "identity",
            "Connection": "close",
            **origin.headers,
            **self._proxy_headers,
            **headers,
        }
        head = f"GET {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return head.encode("utf-8", "surrogateescape") + b"\r\n"

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def close(self) -> None:
        """Close the socket; another thread's read or handshake ends at once. May be called again."""
        self._closed = True
        self._live.stop()

    def release(self) -> None:
        """Free the socket. Call it in the thread that reads, or when none does."""
        self._closed = True
        self._drop()


def request_target(url: str) -> str:
    """
    Take the part of a URL that is sent, as it is written.

    A space and control characters cannot stand in a request; the space is quoted, the others are refused.

    :param url: the URL.
    :return: path and query.
    :raises TransferError: when it holds control characters.
    """
    match = _PARTS.match(url.strip())
    target = match["target"].replace(" ", "%20") if match else ""
    if _NOT_IN_A_REQUEST_LINE.search(target):
        raise TransferError("The recording's URL has control characters in it; it is not fetched.")
    return target if target.startswith("/") else f"/{target}"


def follow(url: str, location: str) -> str:
    """
    Resolve a redirect; never from https to anything else.

    :param url: where the redirect comes from.
    :param location: its Location header, as ``http.client`` gives it (each byte a character).
    :return: where it leads, as it is written: an address of its own is not normalised.
    :raises TransferError: when it must not be followed.
    """
    given = location.strip().encode("latin-1", "replace").decode("utf-8", "surrogateescape")
    base = _PARTS.match(url)
    if base is None:
        raise TransferError("The recording's host redirects from what is no address; not followed.")
    try:
        if _PARTS.match(given):
            target = given
        elif given.startswith("//"):
            target = f"{base['scheme']}:{given}"
        elif given.startswith("/"):
            target = f"{base['scheme']}://{base['netloc']}{given}"
        else:
            target = urljoin(url, given)
        downgraded = urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https"
    except ValueError:
        raise TransferError("The recording's host redirects to what is no address; not followed.") from None
    if downgraded:
        raise TransferError("The recording's host redirects from https to another scheme; not followed.")
    return target


def check_recording_url(url: str) -> None:
    """
    Refuse a recording's URL that would go over an open network in the clear.

    :param url: the URL.
    :raises TransferError: for anything but https, or http on a loopback host.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
        raise TransferError("The recording's URL is not https; it is not fetched. Check the host of the connection.")


def _origin(url: str) -> requests.PreparedRequest:
    """Let requests read scheme and host (international names, user information, ports); the rest stays as it is."""
    match = _PARTS.match(url.strip())
    if match is None:
        raise ValueError("no address")
    return requests.Request("GET", f"{match['scheme']}://{match['netloc']}/").prepare()


def _not_reached(error: Exception) -> HostConnectionError:
    return HostConnectionError(f"the host broke off or was not reached ({type(root_cause(error)).__name__})")
