"""Records of what was copied, deleted and erased, and verifying them later. Knows storage and models; no API."""
