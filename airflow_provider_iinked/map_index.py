"""What mapped tasks show of themselves."""

from __future__ import annotations

from typing import Any


def label_map_index(context: Any, package_id: str | None) -> None:
    """
    Have Airflow show the package id instead of a mapped task's index, unless the Dag author named something else.

    :param context: Airflow's context; may be empty.
    :param package_id: the package, or the label of several (``PackageIds.label``); made of checked ids, so that it
        holds nothing that Jinja would read.
    """
    ti = context.get("ti") if context else None
    if ti is None or package_id is None or getattr(ti, "map_index", -1) < 0:
        return
    if context.get("map_index_template") is None:
        context["map_index_template"] = package_id
