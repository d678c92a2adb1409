"""
JSON that every reader understands in one way: UTF-8 without a byte order mark, no member twice, no NaN. Pure.

A document that two readers could read in two ways is no evidence.
"""

from __future__ import annotations

import json
from typing import Any, Never

_MAX_DIGITS = 40


def strict_json(data: bytes) -> Any:
    """
    Read JSON.

    :param data: its bytes.
    :return: the value.
    :raises ValueError: when it is no JSON, or two readers could read it in two ways.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_int=_int, parse_float=_float)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) != len(members):
        raise ValueError("a member is there twice")
    return value


def _refuse(name: str) -> Never:
    raise ValueError(f"{name} is no number")


def _int(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError("a number has too many digits")
    return int(digits)


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return value
