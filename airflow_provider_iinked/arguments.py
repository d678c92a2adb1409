"""
Checks of what a Dag author passes in: pure, and the same for every operator, the sensor and the hook.

An id that is wrong by one character, or a template that rendered to nothing, must never reach the API: one missing
field turns "delete this video" into "delete every video of the package".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_iinked.exceptions import InvalidArgumentError

DEFAULT_CONN_ID: Final = "iinked_sign_default"
"""The Airflow connection that is used where a Dag names none."""
ALL: Final = "*"
"""What ``meeting_video_ids`` says for "all videos"."""
DECODE: Final = "decode"
"""What ``check_media`` says for decoding every frame."""
RECHECKS: Final = ("sha256", "metadata")
"""How a copy is verified again: by its bytes (the default), or by the size and validator that the store shows."""


class _NotSet:
    """Default of an argument for which None would be a value that was given. Its repr is stable across parses."""

    def __repr__(self) -> str:
        return "<not given>"

    def __copy__(self) -> _NotSet:
        return self

    def __deepcopy__(self, memo: object) -> _NotSet:
        # Airflow deep-copies operators (a subset of a Dag, for one); what is not given must stay so.
        return self

    def __reduce__(self) -> str:
        return "NOTSET"


NOTSET: Final[Any] = _NotSet()

_ID = re.compile(r"[A-Za-z0-9_-]+")
_EMPTY_WORDS = frozenset({"none", "null"})


def is_empty_word(text: str) -> bool:
    """
    Check whether a text is what a template makes of nothing (``'None'``, ``'null'``).

    :param text: a text without surrounding white space.
    :return: True for the words that stand for nothing, in any case.
    """
    return text.casefold() in _EMPTY_WORDS


def check_id(value: object, field: str) -> str:
    """
    Validate an id.

    :param value: the value of the argument, as resolved.
    :param field: the argument's name, for the error.
    :return: the id, unchanged.
    :raises InvalidArgumentError: for anything but a text of letters, digits, ``_`` and ``-``.
    """
    if not isinstance(value, str):
        raise InvalidArgumentError(
            f"{field} must be an id as text, not {_shown(value)}. Nothing was sent. Check the template, XCom or "
            "mapping that fills it; with render_template_as_native_obj an id can turn into a number."
        )
    if not value.strip() or is_empty_word(value.strip()):
        raise InvalidArgumentError(
            f"{field} is empty: {_shown(value)}. Nothing was sent. The template or XCom that fills it gave nothing."
        )
    if not _ID.fullmatch(value):
        raise InvalidArgumentError(
            f"{field} is not an id: {_shown(value)}. Nothing was sent. Ids hold letters, digits, '_' and '-' only"
            + ("; pass a list with XComArg (task.output), not as text." if value.strip().startswith("[") else ".")
        )
    return value


def check_video_ids(value: object, field: str = "meeting_video_ids") -> tuple[str, ...] | None:
    """
    Validate one id, several ids or ``"*"``.

    :param value: the value of the argument, as resolved.
    :param field: the argument's name, for the error.
    :return: the ids, each once (an id that differs by case alone is the same); None for "all".
    :raises InvalidArgumentError: for anything else; None and '' never mean "all".
    """
    if isinstance(value, str):
        return None if value == ALL else (check_id(value, field),)
    if not isinstance(value, (Sequence, Set)) or isinstance(value, (bytes, bytearray, memoryview)):
        raise InvalidArgumentError(
            f"{field} must be an id, a list of ids or '*', not {_shown(value)}. Nothing was sent. "
            "An empty or missing value never means 'all'."
        )
    return _unique_ids(value, field)


@dataclass(frozen=True)
class PackageIds:
    """
    The packages of a task.

    :param ids: the ids, each once, in the order given.
    :param as_list: whether the Dag gave a list; the task then returns a list too, also for one package and for none.
    """

    ids: tuple[str, ...]
    as_list: bool

    @property
    def as_given(self) -> str | list[str]:
        """The id, or a list of them where a list was given; JSON types only."""
        return list(self.ids) if self.as_list else self.ids[0]

    @property
    def label(self) -> str:
        """What stands for them in a log line or as a map index: the id, or the first one and how many follow."""
        if not self.ids:
            return "no packages"
        return self.ids[0] if len(self.ids) == 1 else f"{self.ids[0]} and {len(self.ids) - 1} more"


def check_package_ids(value: object, field: str = "package_id") -> PackageIds:
    """
    Validate one package id, or a list of them. An empty list is a list with nothing in it, never "all".

    :param value: the value of the argument, as resolved: a text, or a list (an XCom list, also a lazy one).
    :param field: the argument's name, for the error.
    :return: the ids, each once (an id that differs by case alone is the same).
    :raises InvalidArgumentError: for anything else.
    """
    if isinstance(value, str):
        return PackageIds((check_id(value, field),), as_list=False)
    if not isinstance(value, (Sequence, Set)) or isinstance(value, (bytes, bytearray, memoryview)):
        raise InvalidArgumentError(
            f"{field} must be an id or a list of ids, not {_shown(value)}. Nothing was sent. "
            "Check the template, XCom or mapping that fills it."
        )
    return PackageIds(_unique_ids(value, field), as_list=True)


def check_selection(packages: PackageIds, meeting_video_ids: object) -> tuple[str, ...] | None:
    """
    Validate ``meeting_video_ids`` beside the packages: with several packages it is ``"*"`` or an empty list.

    :param packages: the packages.
    :param meeting_video_ids: the value of the argument, as resolved.
    :return: the ids; None for "all".
    :raises InvalidArgumentError: for ids beside several packages, and as :func:`check_video_ids`.
    """
    selected = check_video_ids(meeting_video_ids)
    if selected and len(packages.ids) > 1:
        raise InvalidArgumentError(
            f"meeting_video_ids names recordings, and package_id names {len(packages.ids)} packages. Nothing was sent. "
            "With several packages meeting_video_ids must be '*' or []; give recordings of one package a task of "
            "their own."
        )
    return selected


def _unique_ids(values: Iterable[object], field: str) -> tuple[str, ...]:
    unique: dict[str, str] = {}
    for position, item in enumerate(sorted(values, key=str) if isinstance(values, Set) else values):
        checked = check_id(item, f"{field}[{position}]")
        unique.setdefault(checked.casefold(), checked)
    return tuple(unique.values())


def require_bool(value: object, field: str) -> bool:
    """
    Require a real boolean; the text ``'False'`` is truthy and therefore refused.

    :param value: the value of the argument.
    :param field: the argument's name, for the error.
    :return: the value.
    :raises InvalidArgumentError: for anything but True and False.
    """
    if value is True or value is False:
        return value
    raise InvalidArgumentError(f"{field} must be True or False itself, not {_shown(value)}. Nothing was sent.")


def check_media_depth(value: object) -> bool | str:
    """
    Validate ``check_media``.

    :param value: the value of the argument.
    :return: the value.
    :raises InvalidArgumentError: for anything but True, False and ``"decode"``.
    """
    if isinstance(value, str):
        if value == DECODE:
            return value
        raise InvalidArgumentError(f"check_media must be True, False or {DECODE!r}, not {value[:80]!r}.")
    return require_bool(value, "check_media")


def check_folder(value: object, field: str) -> str | None:
    """
    Validate the path of a folder on the worker.

    :param value: the value of the argument; None for the default.
    :param field: the argument's name, for the error.
    :return: the path.
    :raises InvalidArgumentError: for anything but an absolute path as text.
    """
    if value is None or (isinstance(value, str) and value.startswith("/") and value.isprintable()):
        return value
    raise InvalidArgumentError(f"{field} must be an absolute path, not {_shown(value)}. Nothing was sent.")


def require_int(value: object, field: str, *, minimum: int) -> int:
    """
    Require a whole number.

    :param value: the value of the argument.
    :param field: the argument's name, for the error.
    :param minimum: the smallest value that makes sense.
    :return: the value.
    :raises InvalidArgumentError: for anything but a whole number of at least ``minimum``.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= minimum:
        return value
    raise InvalidArgumentError(f"{field} must be a whole number of at least {minimum}, not {_shown(value)}.")


def check_seconds(value: object, field: str) -> None:
    """
    Validate a number of seconds; NaN, which no clock can be compared with, would make a wait without end.

    :param value: the value of the argument.
    :param field: the argument's name, for the error.
    :raises InvalidArgumentError: for anything but a number.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or math.isnan(value):
        raise InvalidArgumentError(f"{field} must be a number of seconds, not {_shown(value)}. Nothing was sent.")


def check_interval(value: object, field: str) -> float:
    """
    Validate a length of time.

    :param value: the value of the argument, seconds.
    :param field: the argument's name, for the error.
    :return: the seconds.
    :raises InvalidArgumentError: for anything but a number above 0 that ends.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
        return float(value)
    raise InvalidArgumentError(f"{field} must be seconds, above 0, not {_shown(value)}.")


def check_choice(value: object, field: str, choices: Sequence[str]) -> str:
    """
    Require one of the documented words.

    :param value: the value of the argument.
    :param field: the argument's name, for the error.
    :param choices: the words that are allowed.
    :return: the value.
    :raises InvalidArgumentError: for any other value.
    """
    if isinstance(value, str) and value in choices:
        return value
    raise InvalidArgumentError(f"{field} must be one of {', '.join(choices)}, not {_shown(value)}.")


def require_not_none(value: object, field: str) -> None:
    """
    Refuse an argument that was passed as None, already when the Dag is parsed.

    :param value: the argument as the constructor got it.
    :param field: the argument's name, for the error.
    :raises InvalidArgumentError: for None.
    """
    if value is None:
        raise InvalidArgumentError(f"{field} is None: an argument that is given must hold something. Nothing was sent.")


def refuse_path_object(value: object, field: str) -> None:
    """
    Refuse a path object where a URL is needed, already when the Dag is parsed: it loses the connection id of an
    ObjectStoragePath, and the scheme of a Path.

    :param value: the argument as the constructor got it.
    :param field: the argument's name, for the error.
    :raises InvalidArgumentError: for a path object, alone or in a list.
    """
    for item in value if isinstance(value, (list, tuple)) else (value,):
        if hasattr(item, "__fspath__") or hasattr(item, "storage_options"):
            raise InvalidArgumentError(
                f"{field} must be a URL as text, not a {type(item).__name__}. Nothing was sent. "
                "Use s3://conn_id@bucket/prefix or file:///data/recordings."
            )


def check_conn_id(value: object, field: str = "iinked_sign_conn_id") -> str:
    """
    Validate a connection id.

    :param value: the value of the argument, as resolved.
    :param field: the argument's name, for the error.
    :return: the id.
    :raises InvalidArgumentError: for one that is empty.
    """
    if isinstance(value, str) and value.strip() and not is_empty_word(value.strip()):
        return value
    raise InvalidArgumentError(f"{field} is empty: {_shown(value)}. Nothing was sent.")


def check_filter(value: object, field: str) -> str | list[str]:
    """
    Validate a search filter; an empty one would silently widen the search.

    :param value: a text, or a list of texts.
    :param field: the argument's name, for the error.
    :return: the filter.
    :raises InvalidArgumentError: for anything blank, and for anything that is neither.
    """
    if isinstance(value, (list, tuple)) and value:
        return [_check_word(item, field) for item in value]
    return _check_word(value, field)


def _check_word(value: object, field: str) -> str:
    if isinstance(value, str) and value.strip() and not is_empty_word(value.strip()):
        return value
    raise InvalidArgumentError(
        f"{field} is empty: {_shown(value)}. Nothing was sent; without it the list would be longer than meant."
    )


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({type(value).__name__})"
