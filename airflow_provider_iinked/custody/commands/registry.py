"""All commands, and running one of them: the same errors and exit codes wherever it is called from."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import Final

from airflow_provider_iinked.custody.commands.disposal import ERASE, HOLD, RELEASE
from airflow_provider_iinked.custody.commands.evidence import EXPORT, REPORT, SEAL
from airflow_provider_iinked.custody.commands.options import DIFFERENT, Command
from airflow_provider_iinked.custody.commands.verify import VERIFY
from airflow_provider_iinked.exceptions import IinkedSignError

COMMANDS: Final[tuple[Command, ...]] = (VERIFY, SEAL, EXPORT, REPORT, ERASE, HOLD, RELEASE)
EXIT_CODES: Final = "Exit codes: 0 fine; 1 a difference or a failure; 2 nothing was done, a confirmation is missing."


def run_command(command: Command, given: argparse.Namespace) -> int:
    """
    Run a command; an error is one line on stderr.

    :param command: the command.
    :param given: the parsed arguments.
    :return: the exit code.
    """
    logger = logging.getLogger("airflow_provider_iinked")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what is printed says it all
    try:
        return command.run(given)
    except IinkedSignError as error:
        print(error, file=sys.stderr)
        return DIFFERENT
    except OSError as error:
        print(f"{error.filename or 'A file'}: {error.strerror or type(error).__name__}.", file=sys.stderr)
        return DIFFERENT
    finally:
        logger.setLevel(level)
