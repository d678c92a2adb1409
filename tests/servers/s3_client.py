"""A boto3 client for a server on loopback."""

from __future__ import annotations

from typing import Any


def s3_client(
    endpoint: str,
    access_key: str,
    secret_key: str,
    region: str = "us-east-1",
    *,
    verify: str | None = None,
    **config: Any,
) -> Any:
    """Make a client that sends each request once; further keyword arguments go to botocore's Config."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        verify=verify,
        config=Config(**{"retries": {"total_max_attempts": 1}, **config}),
    )
