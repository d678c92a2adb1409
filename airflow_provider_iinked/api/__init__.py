"""
The API of iinked Sign: a protocol without I/O, and thin clients that carry it out.

Knows models and errors, no Airflow.
"""
