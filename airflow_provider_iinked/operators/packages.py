"""List packages, so that other tasks can be mapped over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_iinked.arguments import (
    DEFAULT_CONN_ID,
    NOTSET,
    check_conn_id,
    check_filter,
    require_bool,
    require_int,
)
from airflow_provider_iinked.links import IinkedSignLink, push_links

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook


class IinkedListPackagesOperator(BaseOperator):
    """
    List packages by the filters of ``POST /packages/list``; the XCom is made for ``.expand(package_id=...)``.

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
    :param limit: how many at the most; Airflow maps over no more than ``[core] max_map_length``.
    :param iinked_sign_conn_id: the Airflow connection. (templated)
    :return: package ids.
    """

    template_fields: Sequence[str] = (
        "member_id",
        "team_id",
        "folder_id",
        "search",
        "types",
        "states",
        "sort_by",
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
        limit: int = 1000,
        iinked_sign_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        require_bool(with_archived_videos, "with_archived_videos")
        require_int(limit, "limit", minimum=1)
        super().__init__(**kwargs)
        self.member_id = member_id
        self.team_id = team_id
        self.folder_id = folder_id
        self.search = search
        self.types = types
        self.states = states
        self.sort_by = sort_by
        # A filter that a template, an XCom or a mapping turned into None must not fall back to "no filter".
        filters = [name for name in self.template_fields if name != "iinked_sign_conn_id"]
        self._given = [name for name in filters if getattr(self, name) is not NOTSET]
        for name in set(filters) - set(self._given):
            setattr(self, name, None)
        self.all_members = all_members
        self.is_executed = is_executed
        self.days = days
        self.with_archived_videos = with_archived_videos
        self.limit = limit
        self.iinked_sign_conn_id = iinked_sign_conn_id

    def execute(self, context: Context) -> list[str]:
        """
        List the packages.

        :param context: Airflow's context.
        :return: package ids, each once.
        :raises InvalidArgumentError: for a filter that is empty-handed: without it the list would be longer.
        :raises IinkedSignError: as the API's answer says.
        """
        from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

        require_bool(self.with_archived_videos, "with_archived_videos")
        limit = require_int(self.limit, "limit", minimum=1)
        filters = self._filters()
        hook = IinkedSignHook(check_conn_id(self.iinked_sign_conn_id))
        try:
            self.log.info("iinked Sign API: %s", hook.api_base)
            found: list[str] = []
            for package_id in self._package_ids(hook, filters):
                if len(found) == limit:
                    self.log.warning("There are more than %d packages; the rest is left for the next run.", limit)
                    break
                found.append(package_id)
        finally:
            push_links(context, self, hook)
            hook.close()
        self.log.info("%d packages.", len(found))
        return found

    def _filters(self) -> dict[str, Any]:
        filters: dict[str, Any] = {name: check_filter(getattr(self, name), name) for name in self._given}
        for name, flag in (("all_members", self.all_members), ("is_executed", self.is_executed)):
            if flag is not None:
                filters[name] = require_bool(flag, name)
        if self.days is not None:
            filters["days"] = require_int(self.days, "days", minimum=0)
        return filters

    def _package_ids(self, hook: IinkedSignHook, filters: dict[str, Any]) -> Iterator[str]:
        from airflow_provider_iinked.exceptions import PackageNotFoundError

        for package in hook.list_packages(**filters):
            if self.with_archived_videos:
                try:
                    if not any(video.is_archived for video in hook.list_videos(package.package_id)):
                        continue
                except PackageNotFoundError as error:
                    self.log.warning("Left out: %s", error)
                    continue
            yield package.package_id
