"""Apache Airflow provider for iinked Sign (Syngrafii): wait for recordings, copy, verify, delete exactly those."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
