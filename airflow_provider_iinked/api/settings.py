"""What an Airflow connection of type ``iinked_sign`` says, checked. Pure: no Airflow, no network."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from airflow_provider_iinked.exceptions import ConnectionSettingsError

# https://docs.iinkedsign.com/v4/authentication
ENVIRONMENTS: Final[Mapping[str, str]] = {
    "us": "sign.syngrafii.com",
    "ca": "sign.syngrafii.ca",
    "eu": "sign.syngrafii.eu",
    "sandbox-us": "sandbox.syngrafii.com",
    "sandbox-eu": "sandbox.syngrafii.eu",
}
AUTH_HEADERS: Final[Mapping[str, tuple[str, str]]] = {
    "api_key": ("api_key", ""),
    "bearer": ("Authorization", "Bearer "),
}
"""The header that carries the credential, and what stands before the credential there, by ``auth_type``."""
API_PATH: Final = "/api/v1"
KNOWN_EXTRAS: Final = frozenset({"environment", "auth_type", "timeout", "max_retries", "max_requests_per_second"})
DEFAULT_TIMEOUT: Final = 30.0
DEFAULT_MAX_RETRIES: Final = 5


@dataclass(frozen=True)
class ApiSettings:
    """
    All that a transport needs to know.

    :param api_base: base URL of the API, without a slash at its end.
    :param secret: the credential itself, to be masked.
    :param auth_type: how it is sent: a key of :data:`AUTH_HEADERS`.
    :param timeout: seconds for connecting, and for each read.
    :param max_retries: how often a request that may be repeated is tried again.
    :param max_requests_per_second: ceiling for the requests of one process, or None.
    """

    api_base: str
    secret: str = field(repr=False)
    auth_type: str = "api_key"
    timeout: float = DEFAULT_TIMEOUT
    max_retries: int = DEFAULT_MAX_RETRIES
    max_requests_per_second: float | None = None

    @property
    def auth_header(self) -> tuple[str, str]:
        """Name and value of the header that carries the credential; a secret."""
        name, prefix = AUTH_HEADERS[self.auth_type]
        return name, f"{prefix}{self.secret}"

    @property
    def web_base(self) -> str:
        """Address of the data centre's web app."""
        return self.api_base.removesuffix(API_PATH)


def unknown_extras(extra: Mapping[str, Any]) -> list[str]:
    """
    Name the extras that are not read, for a warning.

    :param extra: the connection's extra.
    :return: their names, sorted.
    """
    return sorted(set(extra) - KNOWN_EXTRAS)


def read_settings(
    *,
    host: str | None,
    secret: str | None,
    extra: Mapping[str, Any],
    port: int | None = None,
    scheme: str | None = None,
) -> ApiSettings:
    """
    Check the fields of a connection. Only named extras are read.

    :param host: base URL or bare host name; empty: taken from the extra ``environment``.
    :param secret: the API key, or the OAuth access token.
    :param extra: the connection's extra.
    :param port: the connection's port, used when the host names none.
    :param scheme: the connection's schema, used when it is ``http`` or ``https`` and the host names none.
    :return: the settings.
    :raises ConnectionSettingsError: when something is missing or contradicts itself.
    """
    return ApiSettings(
        api_base=_api_base(host, _text(extra.get("environment")), port, scheme),
        auth_type=_auth_type(_text(extra.get("auth_type"))),
        secret=_secret(secret),
        timeout=_number(extra, "timeout", DEFAULT_TIMEOUT, above=0.0),
        max_retries=_whole(extra, "max_retries", DEFAULT_MAX_RETRIES),
        max_requests_per_second=_number(extra, "max_requests_per_second", None, above=0.0),
    )


def is_loopback(host: str | None) -> bool:
    """
    Check whether a host name is this machine, where plain http is accepted.

    :param host: name or address.
    :return: True for ``localhost`` and loopback addresses.
    """
    if not host:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _api_base(host: str | None, environment: str, port: int | None, scheme: str | None) -> str:
    if environment and environment not in ENVIRONMENTS:
        raise ConnectionSettingsError(
            f"The connection's environment {environment!r} is unknown. Use one of {', '.join(ENVIRONMENTS)}, or a host."
        )
    text = _text(host)
    if not text:
        if not environment:
            raise ConnectionSettingsError("The connection has neither a host nor an environment; set one of them.")
        return f"https://{ENVIRONMENTS[environment]}{API_PATH}"
    if "://" not in text:
        text = f"{scheme if scheme in ('http', 'https') else 'https'}://{text}"
    parts = _split(text)
    name = (parts.hostname or "").rstrip(".")
    _check_environment(name, environment)
    if parts.scheme == "http" and not is_loopback(name):
        raise ConnectionSettingsError(
            f"The connection's host {name} would be spoken to in plain http, which would show the key to the network. "
            "Use https; plain http is for loopback hosts only."
        )
    netloc = f"[{name}]" if ":" in name else name
    chosen_port = parts.port or port
    if chosen_port == {"https": 443, "http": 80}[parts.scheme]:
        # Two spellings of one address must not look like two APIs to a custody record.
        chosen_port = None
    return f"{parts.scheme}://{netloc}{f':{chosen_port}' if chosen_port else ''}{parts.path.rstrip('/') or API_PATH}"


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if (
        not valid
        or not text.isprintable()  # urlsplit would silently drop line breaks and tabs
        or parts.scheme not in ("http", "https")
        or not all(0 < len(label) < 64 for label in (parts.hostname or "").removesuffix(".").split("."))
        or not re.fullmatch(r"[A-Za-z0-9._:-]+", parts.hostname or "")
        or not re.fullmatch(r"[A-Za-z0-9._~/-]*", parts.path)
        or parts.username is not None
        or parts.query
        or parts.fragment
    ):
        raise ConnectionSettingsError(
            "The connection's host is not a host name or base URL such as https://sign.syngrafii.com/api/v1 "
            "(no user, query or fragment; http or https)."
        )
    return parts


def _check_environment(name: str, environment: str) -> None:
    owner = next((key for key, known in ENVIRONMENTS.items() if known == name.casefold()), None)
    if environment and owner and owner != environment:
        raise ConnectionSettingsError(
            f"The connection's host {name} belongs to the environment {owner!r}, but {environment!r} is chosen. "
            "Nothing was sent; sandbox and production, or two data centres, must not be mixed up."
        )


def _auth_type(given: str) -> str:
    auth_type = given or next(iter(AUTH_HEADERS))
    if auth_type not in AUTH_HEADERS:
        raise ConnectionSettingsError(f"The connection's auth_type must be one of {', '.join(AUTH_HEADERS)}.")
    return auth_type


def _secret(secret: str | None) -> str:
    value = _text(secret)
    if not value:
        raise ConnectionSettingsError("The connection has no password; put the API key (or the access token) there.")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ConnectionSettingsError(
            "The connection's password cannot be sent as a header: it holds white space or odd characters."
        )
    return value


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _number(extra: Mapping[str, Any], name: str, default: Any, *, above: float) -> Any:
    value = extra.get(name)
    if value is None or value == "":
        return default
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number <= above:
        raise ConnectionSettingsError(f"The connection's extra {name} must be a number above {above:g}.")
    return number


def _whole(extra: Mapping[str, Any], name: str, default: int) -> int:
    value = _number(extra, name, float(default), above=-1.0)
    if value != int(value):
        raise ConnectionSettingsError(f"The connection's extra {name} must be a whole number.")
    return int(value)
