"""``python -m airflow_provider_iinked.custody``: verify, seal, export, report, erase, hold and release."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from airflow_provider_iinked.custody.commands.registry import COMMANDS, EXIT_CODES, run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    :param arguments: the command line, without the program's name.
    :return: 0 when all is well, 1 on any difference or failure, 2 when nothing was done, 130 when interrupted.
    """
    given = _parser().parse_args(arguments)
    return run_command(given.command, given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_iinked.custody", description=__doc__, epilog=EXIT_CODES
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        subparser = commands.add_parser(command.name, help=command.help, description=command.help, epilog=EXIT_CODES)
        for option in command.options:
            subparser.add_argument(*option.flags, **option.settings)
        subparser.set_defaults(command=command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
