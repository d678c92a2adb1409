"""
Is a recording whole, so that a player can play it to its end?

This package may know a file by its path, FFmpeg through PyAV, and nothing of Airflow, the network, the API or a store.
"""
