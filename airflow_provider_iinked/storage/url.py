"""What a destination URL may look like. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from airflow_provider_iinked.arguments import is_empty_word
from airflow_provider_iinked.exceptions import InvalidArgumentError
from airflow_provider_iinked.storage.registry import is_registered, schemes

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.DOTALL)
# File systems that forget (memory) or that answer from a copy of their own (the caches): proof needs the real store.
_REFUSED_SCHEMES = frozenset({"memory", "simplecache", "filecache", "blockcache", "cached", "dir", "reference"})
_LOCAL_SCHEMES = frozenset({"file", "local"})
_PATTERN = re.compile(r"[*?\[\]]")
# Schemes that lead to the same store.
_SAME_STORE = {
    "s3a": "s3",
    "gcs": "gs",
    "abfss": "abfs",
    "az": "abfs",
    "adl": "abfs",
    "wasb": "abfs",
    "wasbs": "abfs",
    "ssh": "sftp",
}


def check_destination(value: object, field: str = "destination") -> str:
    """
    Let a destination URL pass, or refuse it.

    :param value: the value of the argument, as resolved.
    :param field: the argument's name, for the error.
    :return: the URL without a slash at its end.
    :raises InvalidArgumentError: when it is blank, has no scheme, is relative, shows that a template gave nothing, or
        names a file system that forgets or caches.
    """
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{field} must be a URL as text, not a {type(value).__name__}. Nothing was sent.")
    problem = _problem(value)
    if problem:
        raise InvalidArgumentError(
            f"{field} {_without_secrets(value)!r} {problem}. Nothing was sent. "
            "Use an absolute URL such as s3://conn_id@bucket/prefix or file:///data/recordings."
        )
    match = _URL.fullmatch(value)
    scheme, rest = match.groups() if match else ("", "")
    if scheme in _LOCAL_SCHEMES:
        rest = "/" + "/".join(part for part in rest.removeprefix("localhost").split("/") if part)
    return f"{scheme}://{rest.rstrip('/') or '/'}"


def _without_secrets(url: str) -> str:
    """A signature stands behind the question mark, a password before the @."""
    shown = re.split(r"[?#]", url, maxsplit=1)[0]
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:***@", shown)


def failure_domain(url: str) -> str:
    """
    Name what is lost together with an object: two copies in one failure domain are one copy.

    :param url: a checked URL.
    :return: the kind of store with its bucket, container or host; one word for all disks of the worker. Login and
        path make no difference.
    """
    scheme, _, rest = url.partition("://")
    if scheme in _LOCAL_SCHEMES:
        return "file:"
    return f"{_SAME_STORE.get(scheme, scheme)}://{host_name(rest.partition('/')[0].rpartition('@')[2])}"


def host_name(netloc: str) -> str:
    """
    Write a host, a bucket or a container in one way, however it is spelt.

    :param netloc: the name, maybe with a port.
    :return: the name in lower case, without a dot at its end and without the port: one host is one host.
    """
    return re.sub(r":[0-9]*$", "", netloc.casefold()).rstrip(".")


def join(base: str, *names: str) -> str:
    """
    Put names below a URL.

    :param base: a checked destination.
    :param names: path parts, each free of slashes.
    :return: the longer URL.
    """
    return "/".join([base.removesuffix("/"), *names])


def _problem(value: str) -> str | None:
    if not value.strip():
        return "is blank"
    if value != value.strip() or not value.isprintable():
        return "has white space around it or control characters in it"
    if "{" in value or "}" in value:
        return "has left-over braces; a template was not rendered"
    if "::" in value:
        return "chains file systems"
    match = _URL.fullmatch(value)
    if not match:
        return "has no scheme, or is relative"
    scheme, rest = match.groups()
    if scheme in _REFUSED_SCHEMES:
        return f"names the file system {scheme!r}, which forgets or caches"
    if not is_registered(scheme):
        return (
            f"names the scheme {scheme!r}, which has no store here (known: {', '.join(schemes())}; see docs/stores.md)"
        )
    if "?" in rest or "#" in rest:
        return "has a query or a fragment"
    if _PATTERN.search(rest):
        return "has one of the characters * [ ], which file systems read as a pattern"
    return _path_problem(scheme, rest)


def _path_problem(scheme: str, rest: str) -> str | None:
    try:
        netloc = urlsplit(f"{scheme}://{rest}").netloc
    except ValueError:
        return "cannot be read as a URL"
    parts = rest.split("/")
    if any(is_empty_word(word) for part in parts for word in part.split("@")):
        return "has a part 'None' or 'null': a template gave nothing"
    if ".." in parts or "." in parts:
        return "has a relative part"
    if scheme in _LOCAL_SCHEMES:
        return None if netloc in ("", "localhost") and "/" in rest else "is relative"
    if netloc.rpartition("@")[2].startswith("arn:"):
        return "names an access point by its ARN; use its alias (it ends in -s3alias)"
    if not netloc.rpartition("@")[2]:
        return "names no bucket or container"
    if "" in rest.rstrip("/").split("/"):
        return "has an empty path part: a template gave nothing"
    return None
