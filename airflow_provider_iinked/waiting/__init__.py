"""
Waiting until recordings are archived: the wait condition (pure), the monitor of a list, what a trigger passes on.

Knows models and api; no operator, sensor, trigger or hook, and nothing of download, deletion or storage.
"""
