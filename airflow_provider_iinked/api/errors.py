"""The error of a request that got no answer, for both transports."""

from __future__ import annotations

import socket
from typing import Final

from airflow_provider_iinked.api.protocol import Request
from airflow_provider_iinked.exceptions import IinkedSignError, ServiceUnavailableError, UnknownHostError

_NO_SUCH_HOST: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", -5)})


def no_response_error(request: Request, api_base: str, cause: BaseException, *, sent: bool) -> IinkedSignError:
    """
    Make the error of a request that got no answer; without the transport's own text, which would hold the URL.

    :param request: what was to be sent.
    :param api_base: where to.
    :param cause: what the transport met, at the bottom.
    :param sent: whether the request may have reached the server.
    :return: the error to raise.
    """
    if isinstance(cause, socket.gaierror) and cause.errno in _NO_SUCH_HOST:
        return UnknownHostError(
            f"Could not {request.name}: the host of {api_base} is unknown. Check the connection's host and environment."
        )
    return ServiceUnavailableError(
        f"Could not {request.name}: {api_base} {'broke off' if sent else 'was not reached'} "
        f"({type(cause).__name__}). A retry may help.",
        sent=sent,
    )
