"""Which connections are taken."""

from __future__ import annotations

import pytest

from airflow_provider_iinked.api.settings import ENVIRONMENTS, is_loopback, read_settings, unknown_extras
from airflow_provider_iinked.exceptions import ConnectionSettingsError

KEY = "the-key-of-the-test"


def read(host="sign.syngrafii.com", secret=KEY, **rest):
    extra = {name: rest.pop(name) for name in list(rest) if name not in ("port", "scheme")}
    return read_settings(host=host, secret=secret, extra=extra, **rest)


@pytest.mark.parametrize(
    ("host", "rest", "expected"),
    [
        ("sign.syngrafii.com", {}, "https://sign.syngrafii.com/api/v1"),
        ("https://sign.syngrafii.com", {}, "https://sign.syngrafii.com/api/v1"),
        ("https://sign.syngrafii.com/", {}, "https://sign.syngrafii.com/api/v1"),
        ("https://sign.syngrafii.com/api/v2/", {}, "https://sign.syngrafii.com/api/v2"),
        ("sign.syngrafii.com", {"port": 443}, "https://sign.syngrafii.com/api/v1"),
        ("sign.syngrafii.com", {"port": 8443}, "https://sign.syngrafii.com:8443/api/v1"),
        ("https://sign.syngrafii.com:9443", {"port": 8443}, "https://sign.syngrafii.com:9443/api/v1"),
        ("127.0.0.1", {"port": 8080, "scheme": "http"}, "http://127.0.0.1:8080/api/v1"),
        ("http://localhost:8080", {}, "http://localhost:8080/api/v1"),
        ("http://[::1]:8080", {}, "http://[::1]:8080/api/v1"),
        ("SIGN.syngrafii.com", {"environment": "us"}, "https://sign.syngrafii.com/api/v1"),
        (" sign.syngrafii.com ", {}, "https://sign.syngrafii.com/api/v1"),
    ],
)
def test_a_host_becomes_the_api_base(host, rest, expected):
    assert read(host, **rest).api_base == expected


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("host", [None, "", " "])
def test_without_a_host_the_environment_says_where(host, environment):
    assert read(host, environment=environment).api_base == f"https://{ENVIRONMENTS[environment]}/api/v1"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("owner", ENVIRONMENTS)
def test_a_host_of_another_environment_than_chosen_is_refused(environment, owner):
    host = f"https://{ENVIRONMENTS[owner].upper()}./api/v1"
    if environment == owner:
        assert read(host, environment=environment)
        return
    with pytest.raises(ConnectionSettingsError, match="must not be mixed up"):
        read(host, environment=environment)


@pytest.mark.parametrize(
    "host",
    [
        "http://sign.syngrafii.com",
        "ftp://sign.syngrafii.com",
        "https://user:word@sign.syngrafii.com",
        "https://sign.syngrafii.com/api?x=1",
        "https://sign.syngrafii.com/#x",
        "https://",
        "https://a b",
        "sign.syngrafii.com:port",
        "sign.syngrafii.com:99999",
        "https://127.0.0.1@evil.example",
        "https://[::1",
        "host\nname",
        "sign..syngrafii.com",
        ".syngrafii.com",
        "sign.syngrafii.com..",
        f"{'x' * 64}.syngrafii.com",
        "https://x/api/../y z",
    ],
)
def test_a_host_that_cannot_be_used_is_refused(host):
    with pytest.raises(ConnectionSettingsError):
        read(host)


def test_neither_host_nor_environment_is_an_error():
    with pytest.raises(ConnectionSettingsError, match="neither a host nor an environment"):
        read(None)


@pytest.mark.parametrize("secret", [None, "", "  ", "two words", "line\nbreak", "\u00e9\u00e9"])
def test_a_key_that_is_missing_or_no_header_is_refused_without_showing_it(secret):
    with pytest.raises(ConnectionSettingsError) as caught:
        read(secret=secret)
    assert not secret or not secret.strip() or secret not in str(caught.value)


@pytest.mark.parametrize(
    ("extra", "header"),
    [
        ({}, ("api_key", KEY)),
        ({"auth_type": ""}, ("api_key", KEY)),
        ({"auth_type": "api_key"}, ("api_key", KEY)),
        ({"auth_type": "bearer"}, ("Authorization", f"Bearer {KEY}")),
    ],
)
def test_the_credential_goes_where_auth_type_says(extra, header):
    settings = read(**extra)
    assert (settings.auth_header, settings.secret) == (header, KEY)


def test_the_credential_is_not_shown():
    assert KEY not in repr(read())


@pytest.mark.parametrize(
    "extra",
    [
        {"auth_type": "basic"},
        {"environment": "moon"},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": "soon"},
        {"timeout": True},
        {"timeout": "nan"},
        {"timeout": "inf"},
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"max_requests_per_second": 0},
    ],
)
def test_an_extra_that_makes_no_sense_is_refused(extra):
    with pytest.raises(ConnectionSettingsError):
        read(**extra)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, (30.0, 5, None)),
        ({"timeout": None, "max_retries": "", "max_requests_per_second": None}, (30.0, 5, None)),
        ({"timeout": "2.5", "max_retries": "0", "max_requests_per_second": 4}, (2.5, 0, 4.0)),
    ],
)
def test_numbers_have_their_documented_defaults(extra, expected):
    settings = read(**extra)
    assert (settings.timeout, settings.max_retries, settings.max_requests_per_second) == expected


def test_extras_that_are_not_read_are_named():
    assert unknown_extras({"timeout": 1, "verify": False, "proxies": {}}) == ["proxies", "verify"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("api.localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost.example.com", False),
        ("10.0.0.1", False),
        ("", False),
        (None, False),
    ],
)
def test_loopback_is_this_machine_only(host, expected):
    assert is_loopback(host) is expected
