"""
Links of a task in Airflow's web pages: to the data centre's web app, and to the cloud console where the copies lie.

A task pushes what it knows as XComs; a link reads the one of its own task instance, so mapped tasks have their own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

    from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

log = logging.getLogger(__name__)

WEB_KEY: Final = "iinked_sign_web"
COPIES_KEY: Final = "iinked_sign_copies"

_AZURE_ACCOUNTS: Final = "https://portal.azure.com/#browse/Microsoft.Storage%2FStorageAccounts"


class IinkedSignLink(BaseOperatorLink):
    """
    Leads to the web app of the data centre that the task spoke to.

    The address of a single package there is not documented, so the link leads to the start page.
    """

    name = "iinked Sign"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """
        Return the link of a task instance.

        :param operator: the task; not needed.
        :param ti_key: the task instance.
        :return: the URL; empty while the task has not run.
        """
        return _read(WEB_KEY, ti_key)


class StoredCopiesLink(BaseOperatorLink):
    """
    Leads to the cloud console where a task's copies lie; none for a disk or a store without a console.

    For Azure it leads to the list of storage accounts: the portal names a container by subscription and resource group,
    which Airflow does not know.
    """

    name = "Stored copies"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """
        Return the link of a task instance.

        :param operator: the task; not needed.
        :param ti_key: the task instance.
        :return: the URL; empty while the task has not run, or where there is none.
        """
        return _read(COPIES_KEY, ti_key)


def console_url(folder: str) -> str | None:
    """
    Name the page of a cloud console that shows a folder.

    :param folder: URL of the folder, such as ``s3://conn_id@bucket/prefix/package``.
    :return: the console's URL; None for what a browser cannot open.
    """
    parts = urlsplit(folder)
    bucket = quote(parts.netloc.rpartition("@")[2])
    path = quote(parts.path.strip("/"))
    if parts.scheme in ("s3", "s3a"):
        prefix = f"?prefix={path}/" if path else ""
        return f"https://console.aws.amazon.com/s3/buckets/{bucket}{prefix}"
    if parts.scheme in ("gs", "gcs"):
        return f"https://console.cloud.google.com/storage/browser/{bucket}{f'/{path}' if path else ''}"
    if parts.scheme in ("abfs", "abfss", "az", "adl"):
        return _AZURE_ACCOUNTS
    return None


def push_links(context: Any, operator: Any, hook: IinkedSignHook | None, folder: str | None = None) -> None:
    """
    Leave behind what the links read. A link is a comfort: whatever goes wrong here does not fail the task.

    :param context: Airflow's context; may be empty.
    :param operator: the task.
    :param hook: the hook that the task used, if it used one; nothing is looked up for a link alone.
    :param folder: URL of the folder with the task's copies, if it has any.
    """
    ti = context.get("ti") if context else None
    if ti is None or not getattr(operator, "do_xcom_push", True):
        return
    # What is empty is pushed as well: Airflow reports an XCom that a link misses as an error in the task's log.
    pages = {}
    if hook is not None:
        pages[WEB_KEY] = hook.settings.web_base if "settings" in hook.__dict__ else ""
    if folder:
        pages[COPIES_KEY] = _console(folder)
    try:
        for key, page in pages.items():
            ti.xcom_push(key=key, value=page)
    except Exception as error:
        log.debug("No links for this task: %s", type(error).__name__)


def _console(folder: str) -> str:
    try:
        return "" if _has_own_endpoint(folder) else console_url(folder) or ""
    except Exception as error:  # a connection that is missing or broken; the store itself says so
        log.debug("No link to the copies: %s", type(error).__name__)
        return ""


def _has_own_endpoint(folder: str) -> bool:
    """Tell whether an S3 store is not Amazon's: its connection, or the environment, names an endpoint."""
    import os

    from airflow.providers.common.compat.sdk import BaseHook

    if not folder.startswith("s3"):
        return False
    if os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL_S3"):
        return True
    conn_id, at, _ = urlsplit(folder).netloc.rpartition("@")
    if not at:
        return False
    extra: Mapping[str, Any] = BaseHook.get_connection(conn_id).extra_dejson
    service = (extra.get("service_config") or {}).get("s3") or {}
    return bool(extra.get("endpoint_url") or service.get("endpoint_url"))


def _read(key: str, ti_key: TaskInstanceKey) -> str:
    from airflow.providers.common.compat.sdk import XCom

    value = XCom.get_value(key=key, ti_key=ti_key)
    return value if isinstance(value, str) and value.startswith(("https://", "http://")) else ""
