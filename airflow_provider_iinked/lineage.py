"""
Where recordings come from and their copies go: for OpenLineage, hook lineage and asset events.

Names are made of ids and hosts; no URL of a recording, which is a secret, is ever among them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

log = logging.getLogger(__name__)

DeletedPackage = tuple[str, Sequence[str], Sequence[Mapping[str, Any]]]
"""A package, the recordings of it that are gone, and the custody records of their copies in short form."""
_ALIASES: Final = ("AssetAlias", "DatasetAlias")


def video_dataset(api_base: str, package_id: str, meeting_video_id: str) -> tuple[str, str]:
    """
    Name a recording on the platform.

    :param api_base: base URL of the API.
    :param package_id: its package.
    :param meeting_video_id: the recording.
    :return: OpenLineage namespace and name; joined by ``/`` they are an asset URI.
    """
    return f"iinked-sign://{urlsplit(api_base).netloc}", f"packages/{package_id}/videos/{meeting_video_id}"


def object_dataset(uri: str) -> tuple[str, str]:
    """
    Name a copy, as OpenLineage's naming rules have it; an Airflow connection id in the URL is left out.

    :param uri: the copy's URL.
    :return: namespace and name.
    """
    from airflow_provider_iinked.storage import dataset_name

    return dataset_name(uri)


def asset_uri(uri: str) -> str:
    """
    Name a folder or a copy as an asset.

    :param uri: its URL as the provider writes it.
    :return: the URL without an Airflow connection id.
    """
    namespace, name = object_dataset(uri)
    return f"file://{name}" if namespace == "file" else f"{namespace}/{name.lstrip('/')}"


def download_lineage(api_base: str, copies: Iterable[Mapping[str, Any]]) -> Any:
    """
    Describe a download to OpenLineage: each recording in, its copy out, with size and hash.

    :param api_base: base URL of the API.
    :param copies: custody records in short form.
    :return: an ``OperatorLineage``.
    """
    from airflow.providers.common.compat.openlineage.facet import (
        InputDataset,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )

    extractors = import_module("airflow.providers.openlineage.extractors")

    inputs, outputs = [], []
    for copy in copies:
        inputs.append(InputDataset(*video_dataset(api_base, copy["package_id"], copy["meeting_video_id"])))
        outputs.append(
            OutputDataset(
                *object_dataset(copy["uri"]),
                facets=_version(copy["sha256"]),
                outputFacets={"outputStatistics": OutputStatisticsOutputDatasetFacet(size=copy["size"])},
            )
        )
    return extractors.OperatorLineage(inputs=inputs, outputs=outputs)


def deletion_lineage(api_base: str, packages: Iterable[DeletedPackage]) -> Any:
    """
    Describe a deletion to OpenLineage: each recording dropped, and the copies that were verified before.

    :param api_base: base URL of the API.
    :param packages: for each package its id, the ids of the recordings that are gone, and the custody records of its
        copies in short form; none of these for a deletion without copies.
    :return: an ``OperatorLineage``.
    """
    from airflow.providers.common.compat.openlineage.facet import (
        InputDataset,
        LifecycleStateChange,
        LifecycleStateChangeDatasetFacet,
        OutputDataset,
    )

    extractors = import_module("airflow.providers.openlineage.extractors")

    drop = LifecycleStateChangeDatasetFacet(lifecycleStateChange=LifecycleStateChange.DROP)
    inputs, outputs = [], []
    for package_id, gone, copies in packages:
        folded = {video_id.casefold() for video_id in gone}
        inputs += [
            InputDataset(*object_dataset(copy["uri"]), facets=_version(copy["sha256"]))
            for copy in copies
            if copy["meeting_video_id"].casefold() in folded
        ]
        outputs += [
            OutputDataset(*video_dataset(api_base, package_id, video_id), facets={"lifecycleStateChange": drop})
            for video_id in gone
        ]
    return extractors.OperatorLineage(inputs=inputs, outputs=outputs)


def report_copies(
    context: Any, operator: Any, hook: IinkedSignHook, folder: str, copies: Sequence[Mapping[str, Any]]
) -> None:
    """
    Tell hook lineage, and whoever is scheduled on the task's asset aliases, of copies that were verified.

    :param context: Airflow's context; may be empty.
    :param operator: the task.
    :param hook: the hook that read the recordings.
    :param folder: the folder below which packages lie.
    :param copies: custody records in short form, of one package or several; each recording counts once.
    """
    if not copies:
        return
    recordings = {(copy["package_id"], copy["meeting_video_id"]): copy for copy in copies}
    with _quietly("Hook lineage was not reported"):
        _note_copies(hook, copies)
    facts = {
        "package_id": ",".join(dict.fromkeys(package_id for package_id, _ in recordings)),
        "meeting_video_ids": ",".join(video_id for _, video_id in recordings),
        "videos": len(recordings),
        "bytes": sum(copy["size"] for copy in recordings.values()),
    }
    announce(context, operator, folder, {"event": "copied", **facts})


def announce(context: Any, operator: Any, folder: str, facts: Mapping[str, Any]) -> None:
    """
    Give each asset alias among a task's outlets one event, so that other Dags can be scheduled on it.

    The event's asset is the folder, shared by all packages: their number must not swell Airflow's list of assets.

    :param context: Airflow's context; may be empty.
    :param operator: the task.
    :param folder: the folder below which packages lie.
    :param facts: the event's extra: texts and numbers (Airflow 2.11 fails the task over a list), no secrets.
    """
    # By name, since Airflow 2.11 has it as DatasetAlias.
    aliases = [o for o in getattr(operator, "outlets", None) or () if type(o).__name__ in _ALIASES]
    events = context.get("outlet_events") if context else None
    if not aliases or events is None:
        return
    with _quietly("There is no asset event of this task"):
        from airflow.providers.common.compat.sdk import Asset

        for alias in aliases:
            events[alias].add(Asset(asset_uri(folder)), extra=dict(facts))


def _note_copies(hook: IinkedSignHook, copies: Iterable[Mapping[str, Any]]) -> None:
    from airflow.providers.common.compat.sdk import get_hook_lineage_collector

    collector: Any = get_hook_lineage_collector()
    add_input = getattr(collector, "add_input_asset", None) or collector.add_input_dataset
    add_output = getattr(collector, "add_output_asset", None) or collector.add_output_dataset
    for copy in copies:
        source = "/".join(video_dataset(hook.api_base, copy["package_id"], copy["meeting_video_id"]))
        add_input(context=hook, uri=source)
        add_output(context=hook, uri=asset_uri(copy["uri"]))


@contextmanager
def _quietly(words: str) -> Iterator[None]:
    """A report to others must not fail a task that has done its work."""
    try:
        yield
    except Exception as error:
        log.warning("%s: %s: %s", words, type(error).__name__, error)


def _version(sha256: str) -> dict[str, Any]:
    """Name the content of a copy by its hash."""
    # The package of facets that common.compat re-exports lacks this one.
    facets = import_module("openlineage.client.generated.dataset_version_dataset")

    return {"version": facets.DatasetVersionDatasetFacet(datasetVersion=f"sha256:{sha256}")}
