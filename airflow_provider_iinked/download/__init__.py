"""
Copying recordings into your own storage.

Knows custody, storage, media and the API calls it needs; no hook, no deletion.
"""
