"""The Airflow connection that holds a signing key: its password is the private key in PEM form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from airflow.providers.common.compat.sdk import BaseHook, mask_secret

from airflow_provider_iinked.arguments import check_conn_id

if TYPE_CHECKING:
    from airflow_provider_iinked.custody.keys import PublicKey, SigningKey
    from airflow_provider_iinked.custody.signing import DocumentSigner

_SHORTEST: Final = 16


def load_connection_keys(conn_id: object, field: str = "signing_conn_id") -> tuple[SigningKey, list[PublicKey]]:
    """
    Read the signing key of a connection, and the public keys that signed before it. Call it in the task's own thread.

    :param conn_id: the connection: of any type, its password a private key in PEM form (Ed25519 or ECDSA P-256), its
        extra ``key_id`` the key's name in envelopes, the digest of the public key where that is empty; its extra
        ``public_keys`` earlier public keys in PEM form, as one text or a list, whose signatures are still relied on.
    :param field: the argument's name, for the error.
    :return: the key, which does not show, and the earlier public keys.
    :raises InvalidArgumentError: for an empty id.
    :raises SigningKeyError: when there is no such connection or no usable key in it; the text never quotes it.
    """
    from airflow_provider_iinked.custody.errors import SigningKeyError
    from airflow_provider_iinked.custody.keys import load_public_keys, load_signing_key

    checked = check_conn_id(conn_id, field)
    try:
        connection = BaseHook.get_connection(checked)
        password, extra = connection.password, connection.extra_dejson
    except Exception as error:
        raise SigningKeyError(
            f"The connection {checked!r} ({field}) cannot be read ({type(error).__name__}). Nothing was signed. "
            "Create it, with the private key in PEM form as its password."
        ) from None
    if not password:
        raise SigningKeyError(
            f"The connection {checked!r} ({field}) has no password. Nothing was signed. Its password must be the "
            "private key in PEM form."
        )
    # A log line holds one line of the key, not the whole.
    for line in password.replace("\\n", "\n").splitlines():
        if len(line.strip()) >= _SHORTEST and not line.startswith("-----"):
            mask_secret(line.strip())
    mask_secret(password)
    key_id, earlier = extra.get("key_id"), extra.get("public_keys") or []
    texts = [earlier] if isinstance(earlier, str) else earlier
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise SigningKeyError(
            f"The extra public_keys of the connection {checked!r} ({field}) must be public keys in PEM form, as one "
            "text or a list of texts. Nothing was signed."
        )
    key = load_signing_key(password, key_id if isinstance(key_id, str) else None)
    return key, load_public_keys(*(text.replace("\\n", "\n") for text in texts)) if texts else []


def connection_signer(conn_id: object, *, wanted: bool) -> DocumentSigner | None:
    """
    Return what signs the documents of a task.

    :param conn_id: the connection, as resolved.
    :param wanted: whether the Dag names one; a template that gave nothing is an error then.
    :return: the signer; None where none is wanted.
    :raises InvalidArgumentError: for an empty id.
    :raises SigningKeyError: when there is no usable key.
    """
    from airflow_provider_iinked.custody.signing import DocumentSigner

    return DocumentSigner(*load_connection_keys(conn_id)) if wanted else None
