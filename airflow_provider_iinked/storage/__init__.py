"""
Your own storage: a class for each store, the file names of the archive.

Knows nothing of recordings, API or tasks.
"""
