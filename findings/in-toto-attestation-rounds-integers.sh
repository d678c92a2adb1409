#!/usr/bin/env bash
# One would expect: the predicate of a Statement is JSON, and an integer that goes in comes out.
# What happens: the library keeps the predicate in a protobuf Struct, which knows doubles only. 3 becomes 3.0, and an
#   integer above 2^53 is rounded, both without an error. validate() passes.
# Versions: in-toto-attestation 0.9.3, protobuf 7.36.2.
# Why it matters: a size, an epoch in nanoseconds or a 64-bit id in a custody record changes before it is signed, and
#   the bytes that are signed are not the ones that a plain JSON writer makes from the same record.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'in-toto-attestation==0.9.3' 'protobuf==7.36.2'

venv/bin/python - <<'PYTHON'
import json
import sys

from google.protobuf.json_format import MessageToDict
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement

predicate = {"copies": 3, "copied_at_ns": 1795728000123456789}
subject = ResourceDescriptor(name="video.mp4", digest={"sha256": "0" * 64})
statement = Statement([subject.pb], "https://example.org/custody/v1", predicate)
statement.validate()
seen = json.dumps(MessageToDict(statement.pb)["predicate"], sort_keys=True)
print(f"in:  {json.dumps(predicate, sort_keys=True)}\nout: {seen}")
expected = '{"copied_at_ns": 1.7957280001234568e+18, "copies": 3.0}'
if seen != expected:
    sys.exit(f"changed: {expected} was seen before")
PYTHON
