"""Keeping a signed URL out of the logs of a task."""

from __future__ import annotations

from urllib.parse import unquote_plus, urlsplit

from airflow.providers.common.compat.sdk import mask_secret

_SHORTEST = 20


def mask_signed_url(url: str) -> None:
    """
    Have Airflow mask the tokens of a signed URL. Call it in the task's own thread.

    :param url: the URL.
    """
    for secret in secrets_of(url):
        mask_secret(secret)


def secrets_of(url: str) -> list[str]:
    """
    Name the parts of a signed URL that open it: its long query values, or the whole query when none is long.

    As few as will do: Airflow compiles one pattern of all secrets anew for each, so that masking the URL, its path and
    its query as well took 65 s of CPU for 200 recordings, and slows down each log line.

    :param url: the URL.
    :return: the texts to mask.
    """
    try:
        query = urlsplit(url).query
    except ValueError:
        return [url]
    written = [part.partition("=")[2] for part in query.split("&")]
    tokens = [value for value in written if len(value) >= _SHORTEST]
    if not tokens:
        return [query] if query else []
    return list(dict.fromkeys(text for token in tokens for text in (token, unquote_plus(token))))
