"""JSON that two readers could read in two ways is refused."""

from __future__ import annotations

import pytest

from airflow_provider_iinked.custody.strict_json import strict_json


def test_plain_json_is_read():
    assert strict_json('{"a": [1, 1.5, null, "é"]}\r\n'.encode()) == {"a": [1, 1.5, None, "é"]}


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "\\u0062": 2}}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": "\xe9"}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"1" * 5000 + b"}",
        b'{"a": 1} {"a": 2}',
        b'{"a": 1}\0',
        b"[" * 100_000,
        b"",
    ],
    ids=[
        *("twice", "twice by an escape", "byte order mark", "UTF-16", "Latin-1", "NaN", "Infinity", "too large"),
        *("too many digits", "more after it", "NUL after it", "too deep", "nothing"),
    ],
)
def test_it_refuses(data):
    with pytest.raises(ValueError, match=r"."):
        strict_json(data)
