"""
How this process reaches a host: proxy, CA bundle, user agent, headers. One look-up for both transports.

The environment is read here and nowhere else. What it says wrongly is an error that names the variable, before anything
is sent.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy

from airflow_provider_iinked import __version__
from airflow_provider_iinked.api.settings import ApiSettings
from airflow_provider_iinked.exceptions import ConnectionSettingsError

USER_AGENT: Final = f"airflow-provider-iinked/{__version__}"
JSON_BODY: Final = {"Content-Type": "application/json"}
"""Headers of a request with a body, beside :func:`api_headers`."""
CA_VARIABLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that may name a CA bundle; the first one that is set counts."""
MAX_IDLE: Final = 60.0
"""Seconds. A connection that was idle for longer is not used again: a firewall may have dropped it silently."""
MAX_BODY: Final = 16 << 20
"""Bytes. A longer answer of the API is refused: parsing it would stop the event loop, and no package is so large."""
_SOCKS: Final = frozenset({"socks4", "socks4a", "socks5", "socks5h"})


@dataclass(frozen=True)
class Route:
    """
    The way to a host.

    :param proxy: address of the proxy, its user and password included: a secret; None for none.
    :param proxy_variable: the environment variable that names it, as far as one does.
    :param ca_bundle: path of the file or folder of trusted certificates.
    :param ca_variable: the environment variable that names it; None for the default.
    """

    proxy: str | None = field(default=None, repr=False)
    proxy_variable: str = "the environment"
    ca_bundle: str = DEFAULT_CA_BUNDLE_PATH
    ca_variable: str | None = None

    @property
    def trust(self) -> str:
        """Where the trusted certificates come from, for an error."""
        source = f"named by {self.ca_variable}" if self.ca_variable else f"the default; set {CA_VARIABLES[0]} to change"
        return f"{self.ca_bundle} ({source})"

    def tls_context(self) -> ssl.SSLContext:
        """
        Build a TLS context, which takes milliseconds; not on an event loop.

        :return: the context, one for each bundle.
        :raises ConnectionSettingsError: when the bundle cannot be read.
        """
        try:
            return _tls_context(self.ca_bundle)
        except OSError as error:
            reason = "is not there" if isinstance(error, FileNotFoundError) else "has no certificates that can be read"
            raise ConnectionSettingsError(
                f"The CA bundle {self.trust} {reason}. Nothing was sent. Correct the variable or the file."
            ) from None


def find_route(url: str) -> Route:
    """
    Read from the environment how to reach a host.

    :param url: an address on that host.
    :return: the way there.
    :raises ConnectionSettingsError: for a proxy of a scheme that is not spoken, and a CA bundle that is not there.
    """
    proxy = _find_proxy(url)
    variable = next((name for name in CA_VARIABLES if os.environ.get(name)), None)
    bundle = os.environ[variable] if variable else DEFAULT_CA_BUNDLE_PATH
    route = Route(proxy, _proxy_variable(url), bundle, variable)
    if variable is not None and url.startswith("https:"):
        route.tls_context()
    return route


def api_headers(settings: ApiSettings) -> dict[str, str]:
    """
    Make the headers of every request to the API.

    :param settings: where to, with which credential.
    :return: the headers; one of them is a secret.
    """
    name, value = settings.auth_header
    # A cache on the way must not answer from memory: what is listed decides what is deleted.
    return {"User-Agent": USER_AGENT, "Accept": "application/json", "Cache-Control": "no-cache", name: value}


def require_async_proxy(route: Route) -> str | None:
    """
    Check that the triggerer's transport speaks to the proxy.

    :param route: the way to the API.
    :return: the proxy, or None.
    :raises ConnectionSettingsError: for a SOCKS proxy.
    """
    if route.proxy is not None and urlsplit(route.proxy).scheme in _SOCKS:
        raise ConnectionSettingsError(
            f"The proxy that {route.proxy_variable} names is a SOCKS proxy, which the triggerer does not speak to. "
            "Nothing was sent. Name an http proxy there, or wait on workers (deferrable=False)."
        )
    return route.proxy


def _find_proxy(url: str) -> str | None:
    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return None
    if "://" not in proxy:
        # As curl and requests read it; aiohttp wants the scheme.
        proxy = f"http://{proxy.removeprefix('//')}"
    variable = _proxy_variable(url)
    try:
        parts = urlsplit(proxy)
        scheme, usable = parts.scheme, bool(parts.hostname) and parts.port != 0
    except ValueError:
        scheme, usable = "", False
    if not usable:
        raise ConnectionSettingsError(f"{variable} names no usable proxy address. Nothing was sent. Correct it.")
    if scheme in _SOCKS and importlib.util.find_spec("socks") is None:
        raise ConnectionSettingsError(
            f"The proxy that {variable} names is a SOCKS proxy, which needs the package PySocks. Nothing was sent."
        )
    if scheme not in {"http", "https", *_SOCKS}:
        raise ConnectionSettingsError(
            f"The proxy that {variable} names has the scheme {scheme[:20]!r}, which nobody here speaks. Nothing was "
            "sent. Write it as http://host:port."
        )
    return proxy


def _proxy_variable(url: str) -> str:
    scheme = urlsplit(url).scheme
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    return next((name for name in names if os.environ.get(name)), "the system's settings")


@functools.lru_cache(maxsize=4)
def _tls_context(bundle: str) -> ssl.SSLContext:
    if os.path.isdir(bundle):
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)
