"""The triggers, thin. Knows waiting, api and the hook; nothing of download, deletion and storage."""
