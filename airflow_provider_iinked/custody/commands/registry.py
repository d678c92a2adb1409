"""All commands, and running one of them: the same errors and exit codes wherever it is called from."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import Final

from airflow_provider_iinked.custody.commands.disposal import ERASE, HOLD, RELEASE
from airflow_provider_iinked.custody.commands.evidence import EXPORT, REPORT, SEAL
from airflow_provider_iinked.custody.commands.options import DIFFERENT, INTERRUPTED, NOT_DONE, Command
from airflow_provider_iinked.custody.commands.verify import VERIFY
from airflow_provider_iinked.custody.errors import SigningKeyError
from airflow_provider_iinked.exceptions import IinkedSignError, InvalidArgumentError

COMMANDS: Final[tuple[Command, ...]] = (VERIFY, SEAL, EXPORT, REPORT, ERASE, HOLD, RELEASE)
EXIT_CODES: Final = (
    "Exit codes: 0 fine; 1 a difference or a failure; 2 nothing was done, an argument is wrong or a confirmation "
    "missing; 130 interrupted."
)

_QUIET: Final = {"airflow_provider_iinked": logging.CRITICAL, "airflow": logging.ERROR}
"""What is printed says it all; and Airflow 2 logs to stdout, where it would stand in front of the JSON."""


def run_command(command: Command, given: argparse.Namespace) -> int:
    """
    Run a command; an error is one line on stderr.

    :param command: the command.
    :param given: the parsed arguments.
    :return: the exit code.
    """
    levels = {name: logging.getLogger(name).level for name in _QUIET}
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    try:
        code = command.run(given)
        sys.stdout.flush()
        return code
    except (InvalidArgumentError, SigningKeyError) as error:
        print(error, file=sys.stderr)
        return NOT_DONE
    except IinkedSignError as error:
        print(error, file=sys.stderr)
        return DIFFERENT
    except BrokenPipeError:
        # Whoever reads the output has enough. Python writes what is left in its buffer at its end: not to the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DIFFERENT
    except KeyboardInterrupt:
        print("Interrupted. What was begun may be half done; running the command again is safe.", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        print(f"{error.filename or 'A file'}: {error.strerror or type(error).__name__}.", file=sys.stderr)
        return DIFFERENT
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
