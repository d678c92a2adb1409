"""The documented iinked Sign service on localhost, for tests, demos and fault tests; see docs/testing.md.

Knows nothing of the rest of the package: it shares no code with the client that it tests.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_iinked.simulator.clock import Clock
    from airflow_provider_iinked.simulator.faults import Fault, FaultPlan
    from airflow_provider_iinked.simulator.ledger import Deletion, Ledger, RequestRecord
    from airflow_provider_iinked.simulator.quirks import Quirks
    from airflow_provider_iinked.simulator.server import SEED_PACKAGE, SEED_VIDEO, IinkedSimulator
    from airflow_provider_iinked.simulator.state import SimPackage, SimVideo

__all__ = [
    "SEED_PACKAGE",
    "SEED_VIDEO",
    "Clock",
    "Deletion",
    "Fault",
    "FaultPlan",
    "IinkedSimulator",
    "Ledger",
    "Quirks",
    "RequestRecord",
    "SimPackage",
    "SimVideo",
]

_MODULES = {
    "clock": ("Clock",),
    "faults": ("Fault", "FaultPlan"),
    "ledger": ("Deletion", "Ledger", "RequestRecord"),
    "quirks": ("Quirks",),
    "server": ("SEED_PACKAGE", "SEED_VIDEO", "IinkedSimulator"),
    "state": ("SimPackage", "SimVideo"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
