"""Keeping a signed URL out of the logs of a task."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import unquote_plus, urlsplit

from airflow.providers.common.compat.sdk import mask_secret

_SHORTEST = 20


def mask_signed_url(url: str, *, public: Collection[str] = ()) -> None:
    """
    Have Airflow mask the tokens of a signed URL. Call it in the task's own thread.

    :param url: the URL.
    :param public: what is no secret although it may stand in the query, such as the recording's id: masked, it would be
        missing from every line of the log.
    """
    for secret in secrets_of(url, public=public):
        mask_secret(secret)


def secrets_of(url: str, *, public: Collection[str] = ()) -> list[str]:
    """
    Name the parts of a signed URL that open it: its long query values, or the whole query when none is long.

    As few as will do: Airflow compiles one pattern of all secrets anew for each, so that masking the URL, its path and
    its query as well took 65 s of CPU for 200 recordings, and slows down each log line.

    :param url: the URL.
    :param public: what is no secret although it may stand in the query.
    :return: the texts to mask.
    """
    try:
        query = urlsplit(url).query
    except ValueError:
        return [url]
    known = {text.casefold() for text in public}
    written = [part.partition("=")[2] for part in query.split("&")]
    tokens = [value for value in written if len(value) >= _SHORTEST and unquote_plus(value).casefold() not in known]
    if not tokens:
        # A single short word, such as "download", opens nothing, and would be masked wherever it stands.
        opens = "=" in query or len(query) >= _SHORTEST
        return [query] if opens and unquote_plus(query).casefold() not in known else []
    return list(dict.fromkeys(text for token in tokens for text in (token, unquote_plus(token))))
