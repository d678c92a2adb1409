"""
Deleting exactly what was requested and verified.

Knows custody, storage and the API calls it needs; no hook, no download.
"""
