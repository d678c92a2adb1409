"""
The recording's host: a signed URL, fetched without credentials, over https, with redirects looked at one by one.

Nothing of it is documented beyond "download or playback" (fact sheet, 5.2), so nothing is taken for granted.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urljoin, urlsplit

import requests
from requests.utils import get_environ_proxies

from airflow_provider_iinked.api.errors import root_cause
from airflow_provider_iinked.api.network import USER_AGENT
from airflow_provider_iinked.api.settings import is_loopback
from airflow_provider_iinked.api.sync_client import open_session
from airflow_provider_iinked.exceptions import TransferError

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5
_in_transfer = threading.local()


class SourceBrokenError(Exception):
    """The recording's host was not reached, or broke off; trying again may help. Never leaves the transfer."""


class _HideTargets(logging.Filter):
    """urllib3 logs each path with its query at DEBUG; during a transfer that is a secret."""

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(_in_transfer, "active", False) and isinstance(record.args, tuple):
            record.args = tuple("***" if isinstance(arg, str) and "/" in arg else arg for arg in record.args)
        return True


_hide_targets = _HideTargets()


@contextlib.contextmanager
def _hidden_targets() -> Iterator[None]:
    logging.getLogger("urllib3.connectionpool").addFilter(_hide_targets)
    _in_transfer.active = True
    try:
        yield
    finally:
        _in_transfer.active = False


class Source:
    """
    The way to a recording's host.

    :param timeout: seconds for connecting, and for each read.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._session = open_session("https://localhost")
        self._session.headers.clear()

    def open(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        """
        Ask for a recording, along redirects.

        :param url: the signed URL; it never gets into an error or a log.
        :param headers: Range and its like; never a credential.
        :return: the answer, its body not read yet.
        :raises SourceBrokenError: when the host was not reached, or broke off.
        :raises TransferError: when a URL on the way must not be followed.
        """
        for _ in range(_MOST_REDIRECTS + 1):
            answer = self._get(url, headers)
            location = answer.headers.get("Location")
            if answer.status_code not in _REDIRECTS or not location:
                return answer
            answer.close()
            url = _follow(url, location)
        raise TransferError(f"The recording's host redirects more than {_MOST_REDIRECTS} times; not followed further.")

    def _get(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        check_recording_url(url)
        try:
            with _hidden_targets():
                prepared = requests.Request(
                    "GET", url, headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
                ).prepare()
                # A host may close a connection after any answer; what is asked for anew goes over a new one.
                self._session.close()
                # Not through the session: it reads the body of a redirect to its end, however long it is.
                return self._session.get_adapter(url).send(
                    prepared,
                    stream=True,
                    timeout=self._timeout,
                    proxies=get_environ_proxies(url),
                    verify=self._session.verify or True,
                )
        except (requests.RequestException, OSError, ValueError) as error:
            raise SourceBrokenError(
                f"the host broke off or was not reached ({type(root_cause(error)).__name__})"
            ) from None

    def close(self) -> None:
        """Close the sockets."""
        self._session.close()


def _follow(url: str, location: str) -> str:
    """Return where a redirect leads; never from https to anything else."""
    try:
        target = urljoin(url, location)
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
