"""How commands and their arguments are described, for argparse and for Airflow's command line alike."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_iinked.arguments import check_id, require_int
from airflow_provider_iinked.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from airflow_provider_iinked.custody.keys import PublicKey, SigningKey

FINE: Final = 0
"""Exit code: done, and nothing differs."""
DIFFERENT: Final = 1
"""Exit code: a difference was found, or the command failed."""
NOT_DONE: Final = 2
"""Exit code: nothing was done, since an argument is wrong or missing, or a confirmation is missing."""
INTERRUPTED: Final = 130
"""Exit code: ended by Ctrl-C."""


@dataclass(frozen=True)
class Option:
    """
    An argument of a command.

    :param flags: its name, or its flags.
    :param settings: keyword arguments of :meth:`argparse.ArgumentParser.add_argument`.
    """

    flags: tuple[str, ...]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Command:
    """
    A command.

    :param name: its name.
    :param help: what it does.
    :param run: runs it with the parsed arguments and returns the exit code.
    :param options: its arguments.
    """

    name: str
    help: str
    run: Callable[[argparse.Namespace], int]
    options: tuple[Option, ...] = field(default=())


def option(*flags: str, **settings: Any) -> Option:
    """
    Describe an argument.

    :param flags: its name, or its flags.
    :param settings: keyword arguments of :meth:`argparse.ArgumentParser.add_argument`.
    :return: the description.
    """
    return Option(flags, settings)


DESTINATION: Final = option(
    "destination", help="URL as given to the download, such as s3://conn_id@bucket/prefix or file:///data/recordings"
)
PACKAGE: Final = option("--package", action="append", metavar="ID", help="only this package; may be repeated")
MAX_PARALLEL: Final = option(
    "--max-parallel", type=int, default=4, metavar="N", help="how much is done at a time (default: 4)"
)
JSON: Final = option("--json", action="store_true", help="print JSON")
PUBLIC_KEY: Final = option(
    "--public-key", action="append", metavar="FILE", help="trusted public key in PEM form; may be repeated"
)
LAST_SEAL: Final = option(
    "--last-seal",
    metavar="SHA256",
    help="digest of a seal that was kept elsewhere: it must be there",
)
TSA_CERTIFICATE: Final = option(
    "--tsa-certificate",
    action="append",
    metavar="FILE",
    help="certificate of a trusted time stamp authority in PEM form; may be repeated",
)
TRUST: Final = (PUBLIC_KEY, LAST_SEAL, TSA_CERTIFICATE)
"""What a verification of signatures and seals rests on."""
SIGNING_KEY: Final = option("--signing-key", metavar="FILE", help="private key in PEM form that signs")
SIGNING_CONN_ID: Final = option(
    "--signing-conn-id", metavar="ID", help="Airflow connection whose password is the private key that signs"
)
REASON: Final = option("--reason", required=True, help="why; it is kept in the archive")


def packages_of(given: argparse.Namespace) -> list[str] | None:
    """
    Read ``--package``.

    :param given: the parsed arguments.
    :return: the packages; None for all.
    :raises InvalidArgumentError: for a malformed id.
    """
    return [check_id(package, "--package") for package in given.package] if given.package else None


def parallel_of(given: argparse.Namespace) -> int:
    """
    Read ``--max-parallel``.

    :param given: the parsed arguments.
    :return: the number.
    :raises InvalidArgumentError: for one below 1.
    """
    return require_int(given.max_parallel, "--max-parallel", minimum=1)


def public_keys_of(given: argparse.Namespace, *, required: bool = False) -> list[PublicKey]:
    """
    Read ``--public-key``.

    :param given: the parsed arguments.
    :param required: whether there must be one.
    :return: the keys.
    :raises InvalidArgumentError: when there is none although one is required.
    :raises SigningKeyError: for a file that holds no public key.
    """
    if not given.public_key:
        if required:
            raise InvalidArgumentError("--public-key is missing. Nothing was done. Name a file with a trusted key.")
        return []
    from airflow_provider_iinked.custody.keys import load_public_keys

    return load_public_keys(*(_read(name, "--public-key") for name in given.public_key))


def certificates_of(given: argparse.Namespace) -> list[Certificate]:
    """
    Read ``--tsa-certificate``.

    :param given: the parsed arguments.
    :return: the certificates.
    :raises TimestampError: for a file that holds none.
    """
    if not given.tsa_certificate:
        return []
    from airflow_provider_iinked.custody.timestamp import load_certificates

    texts = [_read(name, "--tsa-certificate") for name in given.tsa_certificate]
    return [certificate for text in texts for certificate in load_certificates(text)]


def signing_keys_of(given: argparse.Namespace) -> tuple[SigningKey, list[PublicKey]] | None:
    """
    Read ``--signing-key`` or ``--signing-conn-id``, and the ``--public-key`` that signed before it.

    :param given: the parsed arguments.
    :return: the key, and trusted public keys besides its own; None when no signing key is given.
    :raises InvalidArgumentError: when both are given.
    :raises SigningKeyError: when there is no usable key.
    """
    if given.signing_key and given.signing_conn_id:
        raise InvalidArgumentError("Give --signing-key or --signing-conn-id, not both. Nothing was done.")
    if given.signing_conn_id:
        from airflow_provider_iinked.custody.signing_connection import load_connection_keys

        key, earlier = load_connection_keys(given.signing_conn_id, "--signing-conn-id")
        return key, [*earlier, *public_keys_of(given)]
    if given.signing_key:
        from airflow_provider_iinked.custody.keys import load_signing_key

        return load_signing_key(_read(given.signing_key, "--signing-key")), public_keys_of(given)
    return None


def _read(name: str, flag: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidArgumentError(f"{flag} {name} cannot be read: {reason}. Nothing was done.") from None
