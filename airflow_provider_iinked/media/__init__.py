"""
Is a recording a video container, and can a player play it to its end?

Knows files and bytes, and nothing else of the package but its errors and argument checks.
"""
