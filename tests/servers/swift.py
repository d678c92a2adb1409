"""OpenStack Swift with s3api, from Debian's packages: one proxy and one server of each kind, on a folder as its device.

Swift asks for no block device when `mount_check` is off, only for a file system that keeps extended attributes.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.processes import free_port, serving
from tests.servers.s3_client import s3_client

# Debian's Swift belongs to Debian's own Python, not to the virtual environment that runs the tests.
PYTHON = "/usr/bin/python3"
KINDS = ("account", "container", "object")
USER, KEY = "test:tester", "testing"

_RING = """\
import sys
from swift.common.ring import RingBuilder
folder, kind, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
builder = RingBuilder(part_power=4, replicas=1, min_part_hours=0)
builder.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1.0, "device": "d1", "ip": "127.0.0.1", "port": port,
                 "replication_ip": "127.0.0.1", "replication_port": port})
builder.rebalance(seed=1)
builder.get_ring().save(f"{folder}/{kind}.ring.gz")
"""

_BACKEND = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
devices = {folder}/devices
mount_check = false
swift_dir = {folder}
user = {user}
workers = 0
disable_fallocate = true

[pipeline:main]
pipeline = {kind}-server

[app:{kind}-server]
use = egg:swift#{kind}
"""

_PROXY = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
user = {user}
workers = 0

[pipeline:main]
pipeline = catch_errors cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes symlink proxy-server

[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:9

[filter:listing_formats]
use = egg:swift#listing_formats

[filter:bulk]
use = egg:swift#bulk

[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin .reseller_admin

[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1
check_bucket_owner = false

[filter:copy]
use = egg:swift#copy

[filter:slo]
use = egg:swift#slo

[filter:dlo]
use = egg:swift#dlo

[filter:symlink]
use = egg:swift#symlink

[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
"""

# `swift_dir` in a server's file says where rings lie; swift.conf is read from /etc before that file is opened.
_RUN = """\
import sys
from swift.common import utils
folder, kind = sys.argv[1:]
utils.set_swift_dir(folder)
from swift.common.wsgi import run_wsgi
sys.exit(run_wsgi(f"{folder}/{kind}-server.conf", f"{kind}-server"))
"""


@dataclass(frozen=True)
class Swift:
    """A running Swift: the address of its S3 API and who may enter."""

    endpoint: str
    access_key: str = USER
    secret_key: str = KEY
    region: str = "us-east-1"

    def client(self, **config: Any) -> Any:
        """A boto3 client for this server; keyword arguments go to botocore's Config."""
        plain = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
        return s3_client(self.endpoint, self.access_key, self.secret_key, self.region, **{**plain, **config})

    def connection(self, conn_id: str, **extra: Any) -> tuple[str, str]:
        """Name and value of the environment variable that is an Airflow connection to this server."""
        fields = {
            "conn_type": "aws",
            "login": self.access_key,
            "password": self.secret_key,
            "extra": {"endpoint_url": self.endpoint, "region_name": self.region, **extra},
        }
        return f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields)


def missing() -> str:
    """What Swift needs and this machine lacks; empty when nothing is."""
    lacking = [f"swift-{kind}" for kind in (*KINDS, "proxy") if not shutil.which(f"swift-{kind}-server")]
    return ", ".join(lacking)


def keeps_xattr(folder: Path) -> bool:
    """Whether files in a folder keep extended attributes, where Swift writes what it knows of an object."""
    probe = folder / ".xattr-probe"
    probe.touch()
    try:
        os.setxattr(probe, "user.swift.probe", b"x" * 2048)
    except OSError:
        return False
    finally:
        probe.unlink()
    return True


@contextmanager
def swift(folder: Path) -> Iterator[Swift]:
    """Run Swift with its S3 API on loopback until the block ends.

    :param folder: where configuration, logs and the device lie; its file system must keep extended attributes.
    """
    assert keeps_xattr(folder), f"{folder} keeps no extended attributes; Swift needs them"
    (folder / "devices" / "d1").mkdir(parents=True)
    (folder / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_suffix = tests\nswift_hash_path_prefix = tests\n"
        "[storage-policy:0]\nname = Policy-0\ndefault = yes\n"
    )
    ports = {kind: free_port() for kind in (*KINDS, "proxy")}
    for kind, port in ports.items():
        if kind != "proxy":
            _python(_RING, str(folder), kind, str(port))
        _configure(folder, kind, _PROXY if kind == "proxy" else _BACKEND, port)
    # Each takes seconds to start, so all start at once; ExitStack only appends, from whichever thread.
    with ExitStack() as stack, ThreadPoolExecutor(len(ports)) as pool:
        list(pool.map(lambda kind: stack.enter_context(_server(folder, kind, ports[kind])), ports))
        yield Swift(f"http://127.0.0.1:{ports['proxy']}")


def _configure(folder: Path, kind: str, text: str, port: int) -> None:
    user = pwd.getpwuid(os.getuid()).pw_name
    (folder / f"{kind}-server.conf").write_text(text.format(port=port, folder=folder, kind=kind, user=user))


def _server(folder: Path, kind: str, port: int) -> AbstractContextManager[subprocess.Popen[bytes]]:
    return serving([PYTHON, "-c", _RUN, str(folder), kind], port, folder / f"{kind}.log", PYTHONPATH="")


def _python(code: str, *arguments: str) -> None:
    subprocess.run([PYTHON, "-c", code, *arguments], check=True, capture_output=True, timeout=60)
