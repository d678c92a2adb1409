"""List packages, so that other tasks can be mapped over them, one by one or in batches."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_iinked import metrics
from airflow_provider_iinked.arguments import (
    DEFAULT_CONN_ID,
    NOTSET,
    check_conn_id,
    require_bool,
    require_int,
    require_not_none,
)
from airflow_provider_iinked.exceptions import IinkedSignError, InvalidArgumentError, RetentionEndsSoonError
from airflow_provider_iinked.links import IinkedSignLink, push_links
from airflow_provider_iinked.progress import Every

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_iinked.download.uncopied import EndingPackage
    from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

ENDS_SOON_KEY: Final = "ends_soon"
DEFAULT_LIMIT: Final = 1000
"""Airflow maps over at most ``[core] max_map_length`` = 1024."""
DEFAULT_LIMIT_IN_BATCHES: Final = 100_000
_MAX_MAP_LENGTH: Final = 1024
_MAX_NAMED: Final = 50


class IinkedListPackagesOperator(BaseOperator):
    """
    List packages by the filters of ``POST /packages/list``; the XCom is made for ``.expand(package_id=...)``.

    With ``with_archived_videos=True`` each package is asked, side by side, and those that have a recording to copy are
    kept, the one whose ``timeRetention`` ends first in front. How many recordings end within 7 days is logged, and
    sent as the gauge ``iinked_sign.retention_within_days``. The XCom ``ends_soon`` names them, for a notifier: a list
    with ``package_id``, ``meeting_video_ids``, ``ends``, ``days_left`` and ``text`` of each package, also when the task
    fails for them.

    .. seealso:: https://docs.iinkedsign.com/v4/api/packages/list

    :param member_id: packages of this member. (templated)
    :param team_id: packages of this team. (templated)
    :param folder_id: packages in this folder. (templated)
    :param all_members: True for the whole organization.
    :param search: full text; ``*`` at the end of a word matches beginnings. (templated)
    :param types: package types. (templated)
    :param states: package states. (templated)
    :param is_executed: only packages that all have signed (True), or only others (False).
    :param days: only packages whose sign-by date is within so many days.
    :param sort_by: the API's sort key. (templated)
    :param with_archived_videos: True to ask each package and keep those that have a recording to copy.
    :param max_parallel: how many packages are asked at a time, within the connection's ``max_requests_per_second``.
    :param batch_size: return lists of at most so many packages, for tasks that take several.
    :param limit: how many packages at the most; None: 1,000, since Airflow maps over no more than ``[core]
        max_map_length``, and 100,000 with ``batch_size``.
    :param without_copy_at: the download's ``destination``: recordings that have their copy there (at each, of several)
        count no more, neither to keep a package nor as ending soon. Needs ``with_archived_videos=True``. (templated)
    :param fail_if_retention_within: days; the task fails, and names the packages, when a recording that is archived
        ends within them. They are the days of ``ends_soon``, too. Needs ``with_archived_videos=True``.
    :param iinked_sign_conn_id: the Airflow connection. (templated)
    :return: package ids; with ``batch_size`` lists of them.
    """

    template_fields: Sequence[str] = (
        "member_id",
        "team_id",
        "folder_id",
        "search",
        "types",
        "states",
        "sort_by",
        "without_copy_at",
        "iinked_sign_conn_id",
    )
    operator_extra_links = (IinkedSignLink(),)
    ui_color = "#e6e9f5"

    def __init__(
        self,
        *,
        member_id: str = NOTSET,
        team_id: str = NOTSET,
        folder_id: str = NOTSET,
        all_members: bool | None = None,
        search: str = NOTSET,
        types: Sequence[str] = NOTSET,
        states: Sequence[str] = NOTSET,
        is_executed: bool | None = None,
        days: int | None = None,
        sort_by: str = NOTSET,
        with_archived_videos: bool = False,
        max_parallel: int = 8,
        batch_size: int | None = None,
        limit: int | None = None,
        without_copy_at: str | Sequence[str] = NOTSET,
        fail_if_retention_within: int | None = None,
        iinked_sign_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        require_not_none(without_copy_at, "without_copy_at")
        _check_numbers(with_archived_videos, max_parallel, batch_size, limit, fail_if_retention_within)
        if without_copy_at is not NOTSET:
            _require_videos("without_copy_at", with_archived_videos)
        super().__init__(**kwargs)
        self.member_id = member_id
        self.team_id = team_id
        self.folder_id = folder_id
        self.search = search
        self.types = types
        self.states = states
        self.sort_by = sort_by
        # A filter that a template, an XCom or a mapping turned into None must not fall back to "no filter".
        filters = [name for name in self.template_fields if name not in ("without_copy_at", "iinked_sign_conn_id")]
        self._given = [name for name in filters if getattr(self, name) is not NOTSET]
        for name in set(filters) - set(self._given):
            setattr(self, name, None)
        self.all_members = all_members
        self.is_executed = is_executed
        self.days = days
        self.with_archived_videos = with_archived_videos
        self.max_parallel = max_parallel
        self.batch_size = batch_size
        self.limit = limit
        self.without_copy_at = without_copy_at
        self.fail_if_retention_within = fail_if_retention_within
        self.iinked_sign_conn_id = iinked_sign_conn_id
        self._hook: IinkedSignHook | None = None

    def execute(self, context: Context) -> list[str] | list[list[str]]:
        """
        List the packages.

        :param context: Airflow's context.
        :return: package ids, each once; with ``batch_size`` lists of them.
        :raises InvalidArgumentError: for a filter that is empty: without it the list would be longer.
        :raises RetentionEndsSoonError: for ``fail_if_retention_within``.
        :raises IinkedSignError: as the API's answer says; nothing is returned then.
        """
        from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

        _check_numbers(
            self.with_archived_videos, self.max_parallel, self.batch_size, self.limit, self.fail_if_retention_within
        )
        filters = self._filters()
        self._hook = IinkedSignHook(check_conn_id(self.iinked_sign_conn_id))
        try:
            self.log.info("iinked Sign API: %s", self._hook.api_base)
            listed = (package.package_id for package in self._hook.list_packages(**filters))
            found = self._with_archived_videos(context, self._hook, listed) if self.with_archived_videos else listed
            kept = self._cut(found)
        finally:
            push_links(context, self, self._hook)
            self._hook.close()
        return self._in_batches(kept)

    def on_kill(self) -> None:
        """Break off the requests in flight; nothing is sent any more."""
        if self._hook is not None:
            self._hook.abort()

    def _filters(self) -> Any:
        from airflow_provider_iinked.api.package_list import PackageFilters

        given = {name: getattr(self, name) for name in self._given}
        # None is the default of these: it is no filter. They are no template fields, so nothing else turns into it.
        flags = {"all_members": self.all_members, "is_executed": self.is_executed, "days": self.days}
        return PackageFilters({**given, **{k: v for k, v in flags.items() if v is not None}}).to_dict()

    def _with_archived_videos(
        self, context: Context, hook: IinkedSignHook, package_ids: Iterator[str]
    ) -> Iterator[str]:
        """Keep the packages that have a recording to copy, the one whose retention ends first in front."""
        from airflow_provider_iinked.download.uncopied import ending_packages, retention_ends, without_copies
        from airflow_provider_iinked.waiting.wait_warnings import RETENTION_WARNING_DAYS

        destinations = self._destinations()
        found: dict[str, dict[str, float]] = {}
        log_due = Every()
        asked = hook.list_videos_of_many(package_ids, max_parallel=self.max_parallel)
        for number, (package_id, videos) in enumerate(asked, 1):
            if log_due.is_due():
                rate = number / log_due.elapsed
                self.log.info(
                    "%d packages asked, %.0f a second; %d have an archived recording.", number, rate, len(found)
                )
            if isinstance(videos, IinkedSignError):
                self.log.warning("Package %s is left out: %s", package_id, videos)
            elif ends := retention_ends(videos):
                found[package_id] = ends
        if destinations:
            found = without_copies(found, destinations, max_parallel=self.max_parallel)
        now = time.time()
        self._report(ending_packages(found, days=RETENTION_WARNING_DAYS, now=now), RETENTION_WARNING_DAYS)
        days = self.fail_if_retention_within
        ending = ending_packages(found, days=RETENTION_WARNING_DAYS if days is None else days, now=now)
        if (ti := context.get("ti") if context else None) and self.do_xcom_push:
            ti.xcom_push(key=ENDS_SOON_KEY, value=ending)
        if days is not None and ending:
            raise RetentionEndsSoonError(_too_late([package["package_id"] for package in ending], days))
        return iter(sorted(found, key=lambda package_id: min(found[package_id].values())))

    def _destinations(self) -> tuple[str, ...]:
        from airflow_provider_iinked.download.request import check_destinations

        return () if self.without_copy_at is NOTSET else check_destinations(self.without_copy_at)

    def _report(self, ending: list[EndingPackage], days: int) -> None:
        soon = sum(len(package["meeting_video_ids"]) for package in ending)
        metrics.gauge(metrics.RETENTION_WITHIN_DAYS, soon)
        self.log.log(30 if soon else 20, "%d archived recordings whose retention ends within %d days.", soon, days)

    def _cut(self, found: Iterator[str]) -> list[str]:
        default = DEFAULT_LIMIT if self.batch_size is None else DEFAULT_LIMIT_IN_BATCHES
        limit = default if self.limit is None else self.limit
        kept = list(islice(found, limit))
        if next(found, None) is not None:
            self.log.warning("There are more than %d packages; the rest is left for the next run.", limit)
        return kept

    def _in_batches(self, kept: list[str]) -> list[str] | list[list[str]]:
        if self.batch_size is None:
            self.log.info("%d packages.", len(kept))
            return kept
        batches = [kept[at : at + self.batch_size] for at in range(0, len(kept), self.batch_size)]
        self.log.info("%d packages in %d batches.", len(kept), len(batches))
        if len(batches) > _MAX_MAP_LENGTH:
            self.log.warning(
                "Airflow maps over at most [core] max_map_length tasks, %d by default, and these are %d batches: "
                "raise batch_size.",
                _MAX_MAP_LENGTH,
                len(batches),
            )
        return batches


def _check_numbers(
    with_archived: object, max_parallel: object, batch_size: object, limit: object, days: object
) -> None:
    require_bool(with_archived, "with_archived_videos")
    require_int(max_parallel, "max_parallel", minimum=1)
    for name, value in (("batch_size", batch_size), ("limit", limit), ("fail_if_retention_within", days)):
        if value is not None:
            require_int(value, name, minimum=1)
    if days is not None:
        _require_videos("fail_if_retention_within", with_archived)


def _require_videos(argument: str, with_archived: object) -> None:
    if with_archived is not True:
        raise InvalidArgumentError(
            f"{argument} needs with_archived_videos=True: the list of packages has no recordings."
        )


def _too_late(late: list[str], days: int) -> str:
    more = f" and {len(late) - _MAX_NAMED} more" if len(late) > _MAX_NAMED else ""
    return (
        f"The retention of recordings of {len(late)} packages ends within {days} days: "
        f"{', '.join(late[:_MAX_NAMED])}{more}. Nothing was returned; the XCom {ENDS_SOON_KEY} names all of them. "
        "Copy them now, or have their retention extended."
    )
