"""The company's own storage, through ObjectStoragePath: objects become visible only when whole."""
