"""
Write the table of a recording's states during a deletion into docs/safety.md.

``python scripts/render_deletion_states.py`` writes it; with ``--check`` it only says whether the page is current.
"""

from __future__ import annotations

import sys
from pathlib import Path

from airflow_provider_iinked.deletion.states import TRANSITIONS, Event, RecordingState

PAGE = Path(__file__).parent.parent / "docs" / "safety.md"
BEGIN = "<!-- states: written by scripts/render_deletion_states.py -->"
END = "<!-- end of states -->"

MEANINGS = {
    RecordingState.PENDING: "listed and live; no request for it is out",
    RecordingState.REQUESTED: "its request is on its way",
    RecordingState.UNCLEAR: "the answer does not say what happened; the list decides before anything else is sent",
    RecordingState.UNCONFIRMED: "the API took the request; no list has shown it deleted; nothing more is sent for it",
    RecordingState.DELETED: "a list read after its request shows it deleted, or no more",
    RecordingState.GONE: "a list shows it deleted, or no more, without a request of this task",
    RecordingState.REFUSED: "the API refused in its own words; it is kept",
    RecordingState.FAILED: "it is kept for another reason: copy, state, receipt, or a service that does not work",
}


def render() -> str:
    """
    Render the table.

    :return: Markdown, the markers included.
    """
    rows = ["| state | meaning | what leads on |", "|---|---|---|"]
    for state in RecordingState:
        events: dict[Event, RecordingState] = dict(TRANSITIONS[state])
        leads = "; ".join(f"{event.value}: **{after}**" for event, after in events.items()) or "final"
        rows.append(f"| **{state}** | {MEANINGS[state]} | {leads} |")
    return "\n".join([BEGIN, "", *rows, "", END])


def main(arguments: list[str]) -> int:
    """
    Write the page, or check it.

    :param arguments: ``--check``, or none.
    :return: 1 when the page is not current and was only checked.
    """
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    current = f"{before}{render()}{after}"
    if "--check" in arguments:
        return int(text != current)
    PAGE.write_text(current)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
