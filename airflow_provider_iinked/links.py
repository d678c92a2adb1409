"""
Links of a task in Airflow's web pages: to the data centre's web app, and to the cloud console where the copies lie.

A task pushes what it knows as XComs; a link reads the one of its own task instance, so mapped tasks have their own.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

    from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

log = logging.getLogger(__name__)

WEB_KEY: Final = "iinked_sign_web"
COPIES_KEY: Final = "iinked_sign_copies"


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
        from airflow_provider_iinked.storage import console_url

        return console_url(folder) or ""
    except Exception as error:  # a connection that is missing or broken; the store itself says so
        log.debug("No link to the copies: %s", type(error).__name__)
        return ""


def _read(key: str, ti_key: TaskInstanceKey) -> str:
    from airflow.providers.common.compat.sdk import XCom

    value = XCom.get_value(key=key, ti_key=ti_key)
    return value if isinstance(value, str) and value.startswith(("https://", "http://")) else ""
