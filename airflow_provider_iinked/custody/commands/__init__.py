"""
The commands of ``python -m airflow_provider_iinked.custody`` and of ``airflow iinked-sign``: one list, one way of
arguments. What they need is imported when one of them runs.
"""
