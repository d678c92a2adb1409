"""The API client: a protocol with no I/O in it, and thin transports that carry it out."""
