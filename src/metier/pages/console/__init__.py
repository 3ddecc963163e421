"""The findings for the terminal: rich tables and panels, readable at 80 columns. Returned, never printed here.

Text from outside enters as rich Text, cleaned: it is neither markup nor a terminal escape.
"""

from metier.pages.console.benchmarks import benchmark_tables
from metier.pages.console.findings import (
    audit_table,
    dataset_table,
    economics_table,
    evaluation_table,
    headline_panel,
    policy_panel,
    specialist_table,
)
from metier.pages.console.stored import (
    artefact_table,
    artefact_view,
    lineage_tree,
    manifest_panel,
    quarantine_table,
)

__all__ = [
    "artefact_table",
    "artefact_view",
    "audit_table",
    "benchmark_tables",
    "dataset_table",
    "economics_table",
    "evaluation_table",
    "headline_panel",
    "lineage_tree",
    "manifest_panel",
    "policy_panel",
    "quarantine_table",
    "specialist_table",
]
