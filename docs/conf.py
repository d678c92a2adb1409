"""Sphinx: furo, MyST, and the API reference out of the docstrings."""

from __future__ import annotations

import airflow_provider_iinked

project = "airflow-provider-iinked"
author = "the airflow-provider-iinked authors"
version = release = airflow_provider_iinked.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "requirements.txt"]
html_theme = "furo"
html_title = f"iinked Sign for Airflow {version}"
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": True}
# Pages link to files of the repository too, such as an example Dag; tests/docs/test_docs.py checks every such link.
suppress_warnings = ["myst.xref_missing"]
