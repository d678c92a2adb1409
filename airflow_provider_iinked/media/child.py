"""
The process that reads one recording with FFmpeg: ``python -m airflow_provider_iinked.media.child``.

It is given a file, and neither credentials nor a way to write: a file that crashes FFmpeg, or worse, meets nothing of
the worker's. A dot on its output says that it goes on; the last line is the report. It ends when its input is closed,
so it does not outlive the worker.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from dataclasses import asdict
from typing import Final

MAX_MEMORY: Final = 4 << 30
"""Bytes of address space; an hour of 720p takes a tenth of it."""


def main() -> None:
    """Read the request from the command line, examine, write the report."""
    path, demuxer, depth, expected = sys.argv[1:5]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        from airflow_provider_iinked.media.packets import examine

        _limit()  # behind the import, which may want to keep its bytecode
        report = examine(
            path,
            demuxer=demuxer,
            depth="decode" if depth == "decode" else "packets",
            expected=float(expected) if expected else None,
            alive=lambda _: _write("."),
        )
        answer = asdict(report)
    except MemoryError:
        answer = {"problems": [f"FFmpeg needs more than {MAX_MEMORY >> 30} GiB of memory to read it"], "facts": {}}
    except ImportError as error:
        answer = {"error": f"PyAV cannot be loaded ({type(error).__name__}: {error})"}
    except OSError as error:
        answer = {"error": f"it cannot be read ({type(error).__name__}: {error.strerror})"}
    _write("\n" + json.dumps(answer) + "\n")
    os._exit(0)  # nothing is left to close, and a decoder's threads need not be waited for


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _limit() -> None:
    """No file can be written, no core is dumped, memory is bounded."""
    import resource

    limits = ((resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, MAX_MEMORY))
    for limit, value in limits:
        with contextlib.suppress(ValueError, OSError):  # a lower limit is set already
            resource.setrlimit(limit, (value, value))


def _end_with_parent() -> None:
    os.read(0, 1)  # comes back when the worker closes the pipe, or dies
    os._exit(1)


if __name__ == "__main__":
    main()
