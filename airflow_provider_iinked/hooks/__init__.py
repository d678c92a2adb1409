"""
The hook: credentials of an Airflow connection, one method for each API call.

Knows api, models, and download for one call.
"""
