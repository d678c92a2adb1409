"""Which error an answer is, or the lack of one. For both transports; it looks at no text that may hold a secret."""

from __future__ import annotations

import re
import socket
import ssl
from typing import TYPE_CHECKING, Final

from airflow_provider_iinked.exceptions import (
    AuthenticationError,
    CertificateError,
    IinkedSignError,
    NotFoundError,
    PackageNotFoundError,
    RateLimitError,
    RecordingDeletedError,
    RecordingFailedError,
    RequestRefusedError,
    RetentionError,
    RouteNotFoundError,
    ServerError,
    ServiceUnavailableError,
    UnexpectedAnswerError,
    UnknownHostError,
)

if TYPE_CHECKING:
    from airflow_provider_iinked.api.network import Route

_NO_SUCH_HOST: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", -5)})
_PASSING_STATUS: Final = frozenset({408, 425, 500, 502, 503, 504})
# The API's codes are single words; a web framework's "Not Found" says that the path does not exist.
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]+")


def classify(status: int, code: str | None) -> tuple[type[IinkedSignError], str]:
    """
    Sort an answer into an error type. Codes are matched by their documented patterns.

    :param status: HTTP status of an answer that is no success with a JSON object.
    :param code: the API's own error code, where there is one.
    :return: the type, and a piece of advice.
    """
    if status < 300:
        return UnexpectedAnswerError, "something other than the API may have answered"
    if 300 <= status < 400:
        return UnexpectedAnswerError, "redirects are not followed; check the host of the connection"
    if status == 429:
        return RateLimitError, "too many requests; ask less often"
    if status >= 500 or status in _PASSING_STATUS:
        return ServerError, "the service has an internal error; a retry may help"
    if code and "_retention" in code:
        return RetentionError, "a retention policy forbids it; wait until it ends or change the policy"
    if status in (401, 403) or (code and code.endswith("_not_authorized")):
        return AuthenticationError, "the key or token is refused; check the connection's password and environment"
    if code and code.endswith("_not_found"):
        kind = PackageNotFoundError if code == "package_not_found" else NotFoundError
        return kind, "it does not exist in this data centre, or the key may not see it; check the id and the host"
    if status in (404, 405) and not (code and _CODE.fullmatch(code)):
        return RouteNotFoundError, "that path does not exist there; check host and path of the connection"
    return RequestRefusedError, "the API refuses this request as it is"


def no_response_error(
    action: str, api_base: str, cause: BaseException, *, sent: bool, route: Route | None = None
) -> IinkedSignError:
    """
    Make the error of a request that got no answer; without the transport's own text, which would hold the URL.

    :param action: what the request was to do.
    :param api_base: where to.
    :param cause: what the transport met, at the bottom.
    :param sent: whether the request may have reached the server.
    :param route: proxy and CA bundle on the way, as far as known.
    :return: the error to raise.
    """
    by_proxy = f" through the proxy that {route.proxy_variable} names" if route is not None and route.proxy else ""
    if isinstance(cause, ssl.SSLCertVerificationError):
        trust = f" Trusted are the certificates in {route.trust}." if route is not None else ""
        return CertificateError(
            f"Could not {action}: the certificate of {api_base}{by_proxy} is not accepted "
            f"({cause.verify_message or 'verification failed'}). Nothing was sent.{trust} Correct the certificate of "
            "the host, or add its issuer to these."
        )
    if isinstance(cause, socket.gaierror) and cause.errno in _NO_SUCH_HOST:
        host = f"the proxy that {route.proxy_variable} names" if route is not None and route.proxy else api_base
        return UnknownHostError(
            f"Could not {action}: the host of {host} is unknown. Check the connection's host and environment."
        )
    return ServiceUnavailableError(
        f"Could not {action}: {api_base} {'broke off' if sent else 'was not reached'}{by_proxy} "
        f"({type(cause).__name__}). A retry may help.",
        sent=sent,
    )


def concerns_all(error: IinkedSignError) -> bool:
    """
    Decide whether an error ends a task with several packages for all of them.

    :param error: what became of the request for one package.
    :return: False where it is about that package alone: it is not known, the API refuses this request or the access to
        this package by a code of its own, or its recordings cannot become ready. True for what concerns the service as
        a whole: a refused key, an unusable connection, an answer that names what was not requested, 429 and 5xx.
    """
    if isinstance(error, AuthenticationError):
        return not (error.status == 403 and error.error_code and error.error_code.endswith("_not_authorized"))
    return not isinstance(error, (RequestRefusedError, RecordingFailedError, RecordingDeletedError))


def root_cause(error: BaseException) -> BaseException:
    """
    Dig out what lies at the bottom of an exception of requests or urllib3.

    :param error: the exception.
    :return: the innermost exception it names.
    """
    seen = {id(error)}
    while True:
        inner = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if not isinstance(inner, BaseException):
            inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
        if inner is None or id(inner) in seen:
            return error
        seen.add(id(inner))
        error = inner
