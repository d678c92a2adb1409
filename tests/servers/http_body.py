"""The body of a request as http.server leaves it to be read."""

from __future__ import annotations

from io import BufferedIOBase


def read_body(stream: BufferedIOBase, headers: dict[str, str]) -> bytes:
    """The body as it came: of known length, or in HTTP's own chunks."""
    if "chunked" not in headers.get("transfer-encoding", ""):
        return stream.read(int(headers.get("content-length") or 0))
    pieces = []
    while length := int(stream.readline().split(b";")[0], 16):
        pieces.append(stream.read(length))
        stream.readline()
    while stream.readline().strip():
        pass
    return b"".join(pieces)
