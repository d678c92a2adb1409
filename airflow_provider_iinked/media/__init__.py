"""
Is a recording whole, so that a player can play it to its end?

Knows a file by its path, and FFmpeg through PyAV; of the package only its errors: no Airflow, network, API or store.
"""
