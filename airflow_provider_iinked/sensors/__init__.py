"""The sensor, thin. Knows waiting, its trigger and the hook; no operator, nothing of download and deletion."""
