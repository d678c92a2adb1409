"""Keeping a signed URL out of the logs of a task."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import unquote_plus, urlsplit

from airflow.providers.common.compat.sdk import mask_secret

_MIN_LENGTH: Final = 20
MAX_MASKED: Final = 100


class UrlMasker:
    """
    Has Airflow mask the tokens of signed URLs, of the first hundred of a task.

    Airflow compiles one pattern of all secrets again for each: 50 took 0.15 s of CPU, 200 took 5 s, and 500 more than a
    minute. This is a second line of defence: nothing writes a signed URL to a log, since the request is written to the
    socket without a library that would.
    """

    def __init__(self) -> None:
        self._masked = 0

    def mask(self, url: str, *, public: Collection[str] = ()) -> None:
        """
        Mask one URL. Call it in the task's own thread.

        :param url: the URL.
        :param public: what is no secret although it may stand in the query, such as the recording's id: masked, it
            would be missing from every line of the log.
        """
        if self._masked < MAX_MASKED:
            self._masked += 1
            for secret in secrets_of(url, public=public):
                mask_secret(secret)


def secrets_of(url: str, *, public: Collection[str] = ()) -> list[str]:
    """
    Name the parts of a signed URL that open it: its long query values, or the whole query when none is long.

    As few as will do: each further secret costs CPU, and slows down each log line.

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
    tokens = [value for value in written if len(value) >= _MIN_LENGTH and unquote_plus(value).casefold() not in known]
    if not tokens:
        # A single short word, such as "download", opens nothing, and would be masked wherever it stands.
        opens = "=" in query or len(query) >= _MIN_LENGTH
        return [query] if opens and unquote_plus(query).casefold() not in known else []
    return list(dict.fromkeys(text for token in tokens for text in (token, unquote_plus(token))))
