"""What an examination found, in a shape that passes between processes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Depth = Literal["packets", "decode"]
"""How deep to look: ``packets`` reads every packet, ``decode`` decodes every frame as well."""


@dataclass
class Report:
    """
    What was found in a recording.

    :param problems: in plain words; none when a player can play it to its end.
    :param facts: for the custody record: ``container``, ``duration`` and ``api_duration`` in seconds,
        ``packets_checked``, ``tracks``, ``checked_with``. Empty when the file could not be opened.
    """

    problems: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
