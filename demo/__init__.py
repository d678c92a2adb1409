"""What ``make demo`` and ``make airflow`` run: a real Airflow against the simulator, in a folder of its own."""
