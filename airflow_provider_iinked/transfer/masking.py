"""Keeping a signed URL out of the logs of a task."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from airflow.providers.common.compat.sdk import mask_secret

_SHORTEST = 12


def mask_signed_url(url: str) -> None:
    """
    Have Airflow mask a signed URL and the tokens in it. Call it in the task's own thread.

    :param url: the URL.
    """
    for secret in secrets_of(url):
        mask_secret(secret)


def secrets_of(url: str) -> list[str]:
    """
    Name the parts of a signed URL that must not be seen; values so short that they are no tokens are not among them.

    :param url: the URL.
    :return: the texts to mask.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return [url]
    values = [value for _, value in parse_qsl(parts.query) if len(value) >= _SHORTEST]
    target = f"{parts.path}?{parts.query}" if parts.query else ""
    return [text for text in (url, target, parts.query, *values) if len(text) > 4]
