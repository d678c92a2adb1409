"""Ways in which a real service may differ from the documents, or lie; each may be changed while the simulator runs."""

from __future__ import annotations

import dataclasses
import functools
import json
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


@dataclasses.dataclass(kw_only=True)
class Quirks:
    """How the simulated service behaves where the documents are silent, or where a server breaks them.

    Attributes are set at any time, by name; an unknown name or value is refused.

    :param delete_paths: which delete paths exist: both, ``package`` (``/packages/{id}/videos/delete``) or ``short``.
    :param missing_path_status: what the delete path that does not exist answers, without an API error code.
    :param repeat_delete: answer to deleting a deleted video: 200 naming it, 200 without videos, 404, 400.
    :param unknown_video: answer to deleting an unknown id: 404, 200 without videos, or (worst) every video is deleted.
    :param list_deleted: deleted videos stay in the list.
    :param deletion_delay: seconds for which the list still shows a deleted video as it was.
    :param delete_answer: videos that a deletion's answer names: those just deleted, all that the list shows, none.
    :param hostile: what a deletion by id does beside its work: ``names_more`` names a live neighbour it did not delete,
        ``deletes_more`` deletes a neighbour and says so, ``deletes_more_hidden`` deletes one and keeps quiet,
        ``names_stranger`` names an id that no list ever showed.
    :param retention_forbids: a video whose ``timeRetention`` lies ahead cannot be deleted (400).
    :param latency: seconds before each API answer.
    :param case_insensitive_ids: ids match whatever their case.
    :param omit_fields: video fields left out of API answers.
    :param null_fields: video fields that are null in API answers.
    :param extra_fields: fields added to each video.
    :param empty_list: how a package without videos shows ``videos``.
    :param require_content_type: a JSON body without ``Content-Type: application/json`` gets 415.
    :param unauthorized_status: status for a wrong or missing key.
    :param accept_ranges: False: ranges are ignored, the whole is sent with 200.
    :param etag: kind of validator; ``changing`` is another one at each request.
    :param last_modified: send Last-Modified.
    :param content_length: False: chunked, without a length.
    :param lie_about_size: the API's ``size`` is wrong by so many bytes.
    :param lie_about_length: Content-Length of a recording is wrong by so many bytes.
    :param lie_about_range: a partial answer begins so many bytes late, and says so in Content-Range.
    :param content_type: Content-Type of recordings instead of the right one.
    :param html_with_200: a recording's URL answers a web page.
    :param redirect: a recording's URL redirects with this status to another host; 0: no redirect.
    :param expired_status: answer of an expired URL: a status, or ``html`` (200 with a page).
    :param expire_after_bytes: a URL ends, and the transfer is cut, after so many bytes; None: never.
    :param if_range: False: If-Range is ignored, the range is sent although the content changed.
    :param gzip: recordings are sent compressed, requested or not.
    :param recording_rate: bytes a second of each transfer; None: as fast as it goes.
    :param deleted_url_works: the URL of a deleted video goes on working until it expires.
    """

    delete_paths: Literal["both", "package", "short"] = "both"
    missing_path_status: Literal[404, 405] = 404
    repeat_delete: Literal["ok", "empty", "not_found", "bad_request"] = "ok"
    unknown_video: Literal["not_found", "empty", "delete_all"] = "not_found"
    list_deleted: bool = True
    deletion_delay: float = 0.0
    delete_answer: Literal["deleted", "all_listed", "empty"] = "deleted"
    hostile: Literal["", "names_more", "deletes_more", "deletes_more_hidden", "names_stranger"] = ""
    retention_forbids: bool = False
    latency: float = 0.0
    case_insensitive_ids: bool = False
    omit_fields: frozenset[str] = frozenset()
    null_fields: frozenset[str] = frozenset()
    extra_fields: dict[str, Any] = dataclasses.field(default_factory=dict)
    empty_list: Literal["list", "null", "missing"] = "list"
    require_content_type: bool = False
    unauthorized_status: Literal[401, 403] = 401
    accept_ranges: bool = True
    etag: Literal["strong", "weak", "changing"] | None = "strong"
    last_modified: bool = True
    content_length: bool = True
    lie_about_size: int = 0
    lie_about_length: int = 0
    lie_about_range: int = 0
    content_type: str | None = None
    html_with_200: bool = False
    redirect: Literal[0, 301, 302, 303, 307, 308] = 0
    expired_status: Literal[403, 404, 410, "html"] = 403
    expire_after_bytes: int | None = None
    if_range: bool = True
    gzip: bool = False
    recording_rate: float | None = None
    deleted_url_works: bool = False

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _rules():
            raise AttributeError(f"no quirk is called {name!r}; known: {', '.join(sorted(_rules()))}")
        values, kinds = _rules()[name]
        if name in ("omit_fields", "null_fields"):
            value = frozenset({value} if isinstance(value, str) else value)
        if values and value not in values:
            raise ValueError(f"quirk {name} must be one of {values}, not {value!r}")
        if kinds and not isinstance(value, kinds):
            raise ValueError(f"quirk {name} must be {' or '.join(kind.__name__ for kind in kinds)}, not {value!r}")
        object.__setattr__(self, name, value)

    def set_text(self, assignment: str) -> None:
        """Set a quirk from a command line.

        :param assignment: ``name=value``; values are Python-like: ``True``, ``None``, numbers, words, ``a,b`` for sets,
            JSON for ``extra_fields``.
        """
        name, separator, text = assignment.partition("=")
        if not separator:
            raise ValueError(f"expected name=value, not {assignment!r}")
        setattr(self, name.strip(), _value_of(name.strip(), text.strip()))

    def reset(self) -> None:
        """Back to the documented behaviour."""
        fresh = Quirks()
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(fresh, field.name))


@functools.cache
def _rules() -> dict[str, tuple[tuple[Any, ...], tuple[type, ...]]]:
    """Each quirk's allowed values, and allowed types where any value will do."""
    rules: dict[str, tuple[tuple[Any, ...], tuple[type, ...]]] = {}
    for name, hint in get_type_hints(Quirks).items():
        parts = get_args(hint) if get_origin(hint) in (UnionType, Union) else (hint,)
        values = tuple(value for part in parts if get_origin(part) is Literal for value in get_args(part))
        kinds = tuple(get_origin(part) or part for part in parts)
        if values:
            rules[name] = (values + ((None,) if type(None) in parts else ()), ())
        else:
            rules[name] = ((), (*kinds, int) if float in kinds else kinds)
    return rules


def _value_of(name: str, text: str) -> Any:
    if name in ("omit_fields", "null_fields"):
        return frozenset(part.strip() for part in text.split(",") if part.strip())
    if name == "extra_fields":
        return json.loads(text)
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text
