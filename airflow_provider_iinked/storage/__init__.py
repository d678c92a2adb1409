"""The company's own storage, through ObjectStoragePath: where a copy goes and how it becomes visible only when whole."""
