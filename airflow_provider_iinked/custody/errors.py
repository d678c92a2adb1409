"""Errors of signing, sealing and time stamping. None of their texts holds a key."""

from __future__ import annotations

from airflow_provider_iinked.exceptions import IinkedSignError, IinkedSignPermanentError


class SigningKeyError(IinkedSignPermanentError):
    """A key cannot be used: not PEM, encrypted, of an unknown kind, private where public is needed. No retry helps."""


class EnvelopeError(IinkedSignPermanentError):
    """An envelope or its statement is malformed, or no trusted key made its signature. No retry helps."""


class SealError(IinkedSignPermanentError):
    """The chain of seals is broken or malformed; nothing was sealed. No retry helps before somebody has looked."""


class SealConflictError(IinkedSignError):
    """Another sealer wrote the seal of this number first; nothing was sealed by this one. A retry helps."""


class TimestampError(IinkedSignError):
    """The time stamp authority was not reached, or its answer does not fit the request. A retry may help."""
