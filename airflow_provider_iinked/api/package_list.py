"""The list of packages, ``POST /packages/list``: its filters, and how its pages are followed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

from airflow_provider_iinked.arguments import check_filter, require_bool, require_int
from airflow_provider_iinked.exceptions import InvalidArgumentError, UnexpectedAnswerError
from airflow_provider_iinked.models import Package, parse_package


class PackageFilterArguments(TypedDict, total=False):
    """
    The filters, as arguments of a call: https://docs.iinkedsign.com/v4/api/packages/list

    :param member_id: packages of this member.
    :param team_id: packages of this team.
    :param folder_id: packages in this folder.
    :param all_members: True for the whole organization.
    :param search: full text; ``*`` at the end of a word matches beginnings.
    :param types: package types.
    :param states: package states.
    :param is_executed: only packages that all have signed (True), or only others (False).
    :param days: only packages whose sign-by date is within so many days.
    :param sort_by: the API's sort key.
    """

    member_id: str | None
    team_id: str | None
    folder_id: str | None
    all_members: bool | None
    search: str | None
    types: Sequence[str] | None
    states: Sequence[str] | None
    is_executed: bool | None
    days: int | None
    sort_by: str | None


_FLAGS: Final = frozenset({"all_members", "is_executed"})
_LISTS: Final = frozenset({"types", "states"})


class PackageFilters:
    """
    Filters of the package list, checked. A new filter of the API is added to :class:`PackageFilterArguments`.

    :param given: the filters that were given, by argument name; leave out the others.
    :raises InvalidArgumentError: for one that is unknown or empty: without it the list would be longer than meant.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        if unknown := sorted(set(given) - set(PackageFilterArguments.__annotations__)):
            raise InvalidArgumentError(f"There is no package filter {', '.join(unknown)}. Nothing was sent.")
        self._given = {name: _check(name, value) for name, value in given.items()}

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> PackageFilters:
        """
        Make filters from arguments whose default is None.

        :param arguments: the arguments; None is one that was not given.
        :return: the filters.
        :raises InvalidArgumentError: as the constructor.
        """
        return cls({name: value for name, value in arguments.items() if value is not None})

    def to_dict(self) -> dict[str, Any]:
        """Return what was given, by argument name: JSON types that make the same filters again."""
        return dict(self._given)

    def to_body(self) -> dict[str, Any]:
        """Return the fields of the request's body, in the API's spelling."""
        return {_camel_case(name): value for name, value in self._given.items()}


class PackagePages:
    """
    Follow the pages of the package list.

    ``skip`` is where the next page begins; ``ended`` is True when there is none.
    """

    def __init__(self) -> None:
        self.skip = 0
        self.ended = False
        self._seen: set[str] = set()

    def take(self, answer: Mapping[str, Any]) -> list[Package]:
        """
        Read a page.

        :param answer: the API's answer.
        :return: its packages that no earlier page had.
        :raises UnexpectedAnswerError: when it is no page.
        """
        items = answer.get("items")
        if not isinstance(items, list):
            raise UnexpectedAnswerError("The API's list of packages has no items; nothing was done with it.")
        fresh = [package for package in map(parse_package, items) if package.package_id not in self._seen]
        self._seen.update(package.package_id for package in fresh)
        self.skip += len(items)
        total = answer.get("total")
        # An empty page, or one with nothing new (an offset that is ignored), ends it whatever `total` says.
        self.ended = not fresh or (isinstance(total, int) and self.skip >= total)
        return fresh


def _check(name: str, value: object) -> Any:
    if name in _FLAGS:
        return require_bool(value, name)
    if name == "days":
        return require_int(value, name, minimum=0)
    checked = check_filter(value, name)
    if name in _LISTS:
        return [checked] if isinstance(checked, str) else checked
    if isinstance(checked, list):
        raise InvalidArgumentError(f"{name} must be one text, not a list. Nothing was sent.")
    return checked


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
