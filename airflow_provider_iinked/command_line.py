"""``airflow iinked-sign ...``, from Airflow 3.2 on: the commands of ``python -m airflow_provider_iinked.custody``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_iinked.custody.commands.options import Command


def get_cli_commands() -> list[Any]:
    """
    Return the provider's commands. Airflow calls this whenever its command line starts: nothing heavy is imported.

    :return: one group of commands.
    """
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    from airflow_provider_iinked.custody.commands.registry import COMMANDS, EXIT_CODES

    actions = [
        ActionCommand(
            name=command.name,
            help=command.help,
            func=_runner(command),
            args=[Arg(option.flags, **option.settings) for option in command.options],  # type: ignore[no-untyped-call]
            epilog=EXIT_CODES,
        )
        for command in COMMANDS
    ]
    return [
        GroupCommand(
            name="iinked-sign", help="Verify, seal, export, report, erase and hold copies", subcommands=actions
        )
    ]


def _runner(command: Command) -> Callable[[argparse.Namespace], None]:
    def run(given: argparse.Namespace) -> None:
        from airflow_provider_iinked.custody.commands.registry import run_command

        sys.exit(run_command(command, given))

    return run
