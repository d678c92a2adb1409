"""The hook: credentials from an Airflow connection, and one method for each documented call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.common.compat.sdk import BaseHook, mask_secret

from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.api.package_list import PackageFilterArguments, PackageFilters, PackagePages
from airflow_provider_iinked.api.settings import ApiSettings, read_settings, unknown_extras
from airflow_provider_iinked.api.stopping import StopFlag
from airflow_provider_iinked.api.sync_client import SyncClient
from airflow_provider_iinked.arguments import DEFAULT_CONN_ID, check_id, require_int
from airflow_provider_iinked.exceptions import (
    AuthenticationError,
    CertificateError,
    ConnectionSettingsError,
    IinkedSignError,
    RateLimitError,
    RouteNotFoundError,
    ServiceUnavailableError,
    UnexpectedAnswerError,
    UnknownHostError,
)
from airflow_provider_iinked.get_provider_info import CONN_FIELDS, UI_FIELD_BEHAVIOUR
from airflow_provider_iinked.models import Package, StoredVideo, Video, parse_package, parse_videos

try:
    from airflow.sdk.log import amask_secret
except ImportError:  # below Airflow 3.3.2
    amask_secret = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import requests
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_iinked.api.async_client import AsyncClient
    from airflow_provider_iinked.api.shared_client import SharedClient


class IinkedSignHook(BaseHook):
    """
    Talk to iinked Sign with the credentials of an Airflow connection.

    The connection is read when it is first needed, never in the constructor. One pooled session serves all calls; use
    a hook in one thread. Once ``stopping`` is set, nothing more is sent.

    .. seealso:: https://docs.iinkedsign.com/v4/authentication

    :param iinked_sign_conn_id: the connection.
    """

    conn_name_attr = "iinked_sign_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "iinked_sign"
    hook_name = "iinked Sign"

    def __init__(self, iinked_sign_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.iinked_sign_conn_id = iinked_sign_conn_id
        self.stopping = StopFlag()
        self._delete_by_short_path = False
        self._shared: SharedClient | None = None

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the form's field behaviour for Airflow below 3.2; newer ones read the provider's metadata."""
        return UI_FIELD_BEHAVIOUR

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's extra fields for Airflow below 3.2; newer ones read the provider's metadata."""
        from airflow_provider_iinked.connection_form import build_widgets

        return build_widgets(CONN_FIELDS)

    @cached_property
    def settings(self) -> ApiSettings:
        """
        The connection, checked.

        :raises ConnectionSettingsError: when it cannot be used.
        """
        connection = self.get_connection(self.iinked_sign_conn_id)
        settings = self._read(connection, connection.extra_dejson)
        mask_secret(settings.secret)
        return settings

    async def aget_settings(self) -> ApiSettings:
        """
        Read and check the connection without blocking the event loop, again at each call.

        :return: the settings.
        :raises ConnectionSettingsError: when it cannot be used.
        """
        connection = await get_async_connection(self.iinked_sign_conn_id, hook=self)
        settings = self._read(connection, await get_async_extra_dejson(connection))
        if amask_secret is not None:
            await amask_secret(settings.secret)
        else:
            # Below Airflow 3.3.2 masking may talk to the supervisor, and must not do so on the event loop.
            await asyncio.to_thread(mask_secret, settings.secret)
        return settings

    def _read(self, connection: Connection, extra: dict[str, Any]) -> ApiSettings:
        settings = read_settings(
            host=connection.host,
            secret=connection.password,
            extra=extra,
            port=connection.port,
            scheme=connection.schema,
        )
        if unknown := unknown_extras(extra):
            self.log.warning("Connection %s: unknown extras are ignored: %s", self.iinked_sign_conn_id, unknown)
        return settings

    @property
    def api_base(self) -> str:
        """Base URL of the API in use."""
        return self.settings.api_base

    @cached_property
    def client(self) -> SyncClient:
        """The transport over :attr:`settings`."""
        return SyncClient(self.settings, stopping=self.stopping)

    @property
    def max_retries(self) -> int:
        """How often a request may be sent again."""
        return self.settings.max_retries

    def wait_for_slot(self) -> None:
        """Wait until the next request would go out at once, under the ceiling of requests a second."""
        self.client.wait_for_slot()

    def stop(self) -> None:
        """Send nothing more, from any thread: for ``on_kill``. What only reads is broken off, a deletion completed."""
        self.stopping.set()
        if "client" in self.__dict__:
            self.client.stop()

    def get_conn(self) -> requests.Session:
        """
        Return the session that carries the credential; it belongs to this hook.

        :return: the session.
        :raises ConnectionSettingsError: when the connection cannot be used.
        """
        return self.client.session

    def test_connection(self) -> tuple[bool, str]:
        """
        Check host and key with one cheap read, and say what is wrong.

        :return: whether all is well, and a sentence for the form.
        """
        try:
            answer = self.client.send(protocol.list_packages({}, take=1, skip=0), max_retries=0)
        except Exception as error:
            return False, _explain(error)
        if not isinstance(answer.get("items"), list):
            return False, f"{self.api_base} answered, but not as iinked Sign does. Check host and path."
        return True, f"Connected to {self.api_base}; the key is accepted."

    def list_packages(self, *, page_size: int = 50, **filters: Unpack[PackageFilterArguments]) -> Iterator[Package]:
        """
        Go through the packages that match, page by page: ``POST /packages/list``.

        .. seealso:: https://docs.iinkedsign.com/v4/api/packages/list

        :param page_size: packages a request.
        :param filters: the filters of :class:`airflow_provider_iinked.api.package_list.PackageFilterArguments`.
        :return: the packages, each once, although paging may shift meanwhile.
        :raises InvalidArgumentError: for a filter that is empty, before anything is sent.
        :raises IinkedSignError: as the API's answer says.
        """
        body = PackageFilters.from_arguments(filters).to_body()
        return self._pages(body, require_int(page_size, "page_size", minimum=1))

    def _pages(self, filters: dict[str, Any], take: int) -> Iterator[Package]:
        pages = PackagePages()
        while not pages.ended:
            yield from pages.take(self.client.send(protocol.list_packages(filters, take=take, skip=pages.skip)))

    async def alist_packages(
        self, *, page_size: int = 50, **filters: Unpack[PackageFilterArguments]
    ) -> AsyncIterator[Package]:
        """
        Go through the packages that match, without blocking the event loop; see :meth:`list_packages`.

        :param page_size: packages a request.
        :param filters: as for :meth:`list_packages`.
        :return: the packages, each once, although paging may shift meanwhile.
        :raises IinkedSignError: as the API's answer says.
        """
        body = PackageFilters.from_arguments(filters).to_body()
        take = require_int(page_size, "page_size", minimum=1)
        pages = PackagePages()
        while not pages.ended:
            client = await self._aclient()
            for package in pages.take(await client.send(protocol.list_packages(body, take=take, skip=pages.skip))):
                yield package

    def get_package(self, package_id: str) -> Package:
        """
        Read one package: ``GET /packages/{packageId}``.

        :param package_id: the package.
        :return: the package; its fields may hold links that are secrets.
        :raises InvalidArgumentError: for a package_id that is no id, before anything is sent.
        :raises PackageNotFoundError: when it does not exist, or the key may not see it.
        """
        answer = self.client.send(protocol.get_package(package_id))
        inner = answer.get("package")
        return parse_package(inner if isinstance(inner, dict) and "packageId" not in answer else answer)

    def list_videos(self, package_id: str, *, max_retries: int | None = None) -> list[Video]:
        """
        List the videos of a package: ``GET /packages/{packageId}/videos``.

        .. seealso:: https://docs.iinkedsign.com/v4/api/videos/list

        :param package_id: the package.
        :param max_retries: how often to try again; the connection's setting where it is None.
        :return: its videos, in the API's order.
        :raises InvalidArgumentError: for a package_id that is no id, before anything is sent.
        :raises PackageNotFoundError: when it does not exist, or the key may not see it.
        :raises UnrequestedDeletionError: when the answer is about another package.
        """
        answer = self.client.send(protocol.list_videos(package_id), max_retries=max_retries)
        return parse_videos(answer, package_id)

    def list_videos_of_many(
        self, package_ids: Iterable[str], *, max_parallel: int = 8
    ) -> Iterator[tuple[str, list[Video] | IinkedSignError]]:
        """
        List the videos of many packages side by side, within ``max_requests_per_second``.

        :param package_ids: the packages.
        :param max_parallel: requests in flight at a time.
        :return: for each package, in order, its videos, or the error that is about this package alone.
        :raises IinkedSignError: for what concerns the service as a whole.
        """
        from airflow_provider_iinked.api.parallel import list_videos_of_many

        # The client is made here, in the task's own thread: the others must not touch Airflow.
        return list_videos_of_many(self.client, package_ids, require_int(max_parallel, "max_parallel", minimum=1))

    async def alist_videos(self, package_id: str, *, max_retries: int | None = None) -> list[Video]:
        """
        List the videos of a package without blocking the event loop; see :meth:`list_videos`.

        :param package_id: the package.
        :param max_retries: how often to try again; the connection's setting where it is None.
        :return: its videos, in the API's order.
        :raises IinkedSignError: as :meth:`list_videos`.
        """
        request = protocol.list_videos(package_id)
        client = await self._aclient()
        return parse_videos(await client.send(request, max_retries=max_retries), package_id)

    async def _aclient(self) -> AsyncClient:
        """Acquire the client that all hooks and triggers of this event loop share; :meth:`aclose` gives it back."""
        if self._shared is None:
            # Loads aiohttp, which a worker has no use for.
            from airflow_provider_iinked.api.shared_client import acquire

            self._shared = await acquire(await self.aget_settings())
        return self._shared.client

    async def aclose(self) -> None:
        """Give back what the async methods use."""
        shared, self._shared = self._shared, None
        if shared is not None:
            await shared.release()

    def delete_video(self, package_id: str, meeting_video_id: str, *, max_retries: int | None = None) -> dict[str, Any]:
        """
        Delete one video, for good. Low level: no list, no verification, no receipt; the delete operator has them.

        .. seealso:: https://docs.iinkedsign.com/v4/api/videos/delete

        :param package_id: the package.
        :param meeting_video_id: the video; an empty one is refused before anything is sent.
        :param max_retries: how often to ask again after a 429 or when the host was not reached; the connection's
            setting where it is None. A deletion is never repeated after anything else.
        :return: the API's answer.
        :raises InvalidArgumentError: for an id that is empty or no id, before anything is sent.
        :raises IinkedSignError: as the API's answer says; after an unclear one look at the list, do not ask again.
        """
        return self._delete(protocol.delete_video(package_id, meeting_video_id), max_retries)

    def delete_all_videos(self, package_id: str) -> dict[str, Any]:
        """
        Delete EVERY video of a package, for good, whatever its state, known to you or not. No operator calls this.

        :param package_id: the package.
        :return: the API's answer.
        :raises InvalidArgumentError: for a package_id that is no id, before anything is sent.
        :raises IinkedSignError: as the API's answer says.
        """
        return self._delete(protocol.delete_all_videos(package_id), None)

    def _delete(self, paths: tuple[protocol.Request, protocol.Request], max_retries: int | None) -> dict[str, Any]:
        """Send a deletion by the path that the API knows; what is learned holds for this hook."""
        first, second = reversed(paths) if self._delete_by_short_path else paths
        try:
            return self.client.send(first, max_retries=max_retries)
        except RouteNotFoundError:
            answer = self.client.send(second, max_retries=max_retries)
            self._delete_by_short_path = not self._delete_by_short_path
            return answer

    def download_video(self, package_id: str, meeting_video_id: str, destination: str) -> StoredVideo:
        """
        Copy one archived video into your own storage, verify the copy and write its custody record.

        :param package_id: the package.
        :param meeting_video_id: the video.
        :param destination: URL with an explicit scheme, as the download operator takes it.
        :return: where the copy and its custody record lie.
        :raises InvalidArgumentError: for an id or a destination that cannot be used, before anything is sent.
        :raises NotArchivedError: when the video is not archived, or not listed.
        :raises TransferError: when it could not be fetched whole; nothing is published then.
        :raises StorageError: when the storage failed.
        """
        from airflow_provider_iinked.download.request import parse_download_request
        from airflow_provider_iinked.download.workflow import download_videos

        request = parse_download_request(
            package_id=check_id(package_id, "package_id"),
            destination=destination,
            meeting_video_ids=check_id(meeting_video_id, "meeting_video_id"),
        )
        return download_videos(self, request)[0]

    def close(self) -> None:
        """Close the session, if one was opened."""
        if "client" in self.__dict__:
            self.client.close()

    def abort(self) -> None:
        """Send nothing more, and break off the requests in flight; for ``on_kill`` of a task that only reads."""
        self.stop()
        if "client" in self.__dict__:
            self.client.abort()


async def aread_settings(iinked_sign_conn_id: str) -> ApiSettings:
    """
    Read and check a connection without blocking the event loop, for the triggers.

    :param iinked_sign_conn_id: the connection.
    :return: its settings.
    :raises ConnectionSettingsError: when it cannot be used.
    """
    return await IinkedSignHook(iinked_sign_conn_id).aget_settings()


def _explain(error: Exception) -> str:
    """Say for the connection form what kind of error it is, then the details."""
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (UnknownHostError, "Unknown host"),
        (CertificateError, "Certificate not accepted"),
        (ConnectionSettingsError, "Connection not usable"),
        (AuthenticationError, "Key refused"),
        (RouteNotFoundError, "Wrong path"),
        (UnexpectedAnswerError, "Not the iinked Sign API"),
        (RateLimitError, "Too many requests"),
        (ServiceUnavailableError, "Not reachable"),
        (IinkedSignError, "Failed"),
    )
    for kind, words in kinds:
        if isinstance(error, kind):
            return f"{words}: {error}"
    return f"Failed: {type(error).__name__}"
