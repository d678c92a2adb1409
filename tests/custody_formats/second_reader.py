"""
Verifies a signed and sealed archive in a local folder, from docs/formats.md alone: no import of the package.
Prints one difference a line, and exits with 1 when there is one. Time stamps are verified by ``openssl ts``:
    python second_reader.py ARCHIVE KEYS.pem [DIGEST OF THE LAST SEAL] [AUTHORITY.pem]
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ID = r"[A-Za-z0-9_-]+"
DOCUMENT = re.compile(rf"({ID})\.(custody|deletion|erased)\.json")
COPY = re.compile(rf"({ID})\.(mp4|mov|m4v|3gp|webm|mkv|avi|ogv|flv|mpg|ts|wmv|asf|3g2|m4a|ogg|oga|opus|mka|wav)")
OF_DOCUMENT, OF_SEAL = "urn:airflow-provider-iinked:document:v1", "urn:airflow-provider-iinked:seal:v1"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
Wrong = type("Wrong", (Exception,), {})  # raised for a file that must not be relied on


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read_json(data: bytes):
    """A member that is there twice makes a list of its object, with which nothing can be done."""
    return json.loads(data.decode(), object_pairs_hook=lambda x: dict(x) if len(dict(x)) == len(x) else x)


def unbase64(text: str) -> bytes:
    return base64.b64decode(text.translate({45: "+", 95: "/"}) + "=" * (-len(text) % 4), validate=True)


def is_signed(key, signature: bytes, message: bytes) -> bool:
    how = (ec.ECDSA(hashes.SHA256()),) if isinstance(key, ec.EllipticCurvePublicKey) else ()
    try:
        return key.verify(signature, message, *how) is None
    except InvalidSignature:
        return False


def open_envelope(data: bytes, keys: list, kind: str) -> tuple[dict, dict]:
    """Subjects and predicate of an envelope that a trusted key has signed."""
    try:
        envelope = read_json(data)
        body, name = unbase64(envelope["payload"]), envelope["payloadType"].encode()
        message = b"DSSEv1 %d %b %d %b" % (len(name), name, len(body), body)
        tries = [(key, unbase64(item["sig"])) for item in envelope["signatures"] for key in keys]
        if len(envelope["signatures"]) > 16 or not any(is_signed(*each, message) for each in tries):
            raise Wrong("no trusted key signed it")
        statement = read_json(body)
        subjects = {item["name"]: item["digest"]["sha256"] for item in statement["subject"]}
        seen = (name, statement["_type"], statement["predicateType"])
        if seen != (b"application/vnd.in-toto+json", "https://in-toto.io/Statement/v1", kind):
            raise Wrong("it is another kind of statement")
        return subjects, statement["predicate"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Wrong(f"it is no envelope ({type(error).__name__})") from None


def tree_root(leaves: list[bytes]) -> bytes:
    """RFC 6962: level by level; a node without a neighbour goes up as it is."""
    while len(leaves) > 1:
        pairs = [leaves[at : at + 2] for at in range(0, len(leaves), 2)]
        leaves = [hashlib.sha256(b"\x01" + b"".join(pair)).digest() if pair[1:] else pair[0] for pair in pairs]
    return leaves[0] if leaves else hashlib.sha256(b"").digest()


def verify(root: Path, keys: list, last: str | None = None, authority: Path | None = None) -> list[str]:
    newest = verify_seals(root, keys, last, authority, found := [])
    folders = {path.name for path in root.iterdir() if path.is_dir() and re.fullmatch(ID, path.name)} - {"_seals"}
    sealed: dict[str, dict] = {package: {} for package in folders}
    for path, entry in newest.items():
        sealed.setdefault(path.split("/")[0], {})[path.split("/")[1]] = entry
    for package in sorted(sealed):
        verify_package(root, package, sealed[package], keys, found)
    return found


def verify_seals(root: Path, keys: list, last: str | None, authority: Path | None, found: list[str]) -> dict:
    """Steps 1 to 4; the newest entry of each path."""
    newest, leaves, digests = {}, [], []
    names = (path.name[:8] for path in (root / "_seals").glob("*.seal.json") if re.fullmatch(r"\d{8}", path.name[:8]))
    for number in range(1, max(map(int, names), default=1) + 1):
        path = root / f"_seals/{number:08d}.seal.json"
        try:
            data = path.read_bytes()
            subjects, seal = open_envelope(data, keys, OF_SEAL)
            files = {item["path"]: item["sha256"] for item in (seal["entries"], seal["state"]) if item}
            expected = (1, number, digests[-1] if digests else None, files)
            if (seal["format"], seal["number"], seal["previous"], subjects) != expected:
                raise Wrong("it does not follow the seal before")
        except (Wrong, KeyError, TypeError, OSError) as error:
            found.append(f"{path.name}: seal {'missing' if isinstance(error, OSError) else 'wrong'}: {error}")
            break
        digests.append(sha256(data))
        verify_timestamp(path, digests[-1], seal["timestamp"], authority, found)
        entries, _ = (read_entries(root, seal[name], found) if seal[name] else [] for name in ("entries", "state"))
        leaves += [hashlib.sha256(b"\x00" + line).digest() for line in entries]
        if (len(leaves), tree_root(leaves).hex()) != (seal["tree"]["size"], seal["tree"]["root"]):
            found.append(f"{path.name}: entries wrong: they do not give its root")
        newest |= {entry["path"]: entry for entry in map(json.loads, entries)}
    if last and last not in digests:
        found.append(f"_seals: seal missing: there is none with the digest {last}")
    return newest


def verify_timestamp(seal: Path, digest: str, expected: str, authority: Path | None, found: list[str]) -> None:
    stamp = seal.parent / f"{seal.name[:8]}.{digest}.tsr"
    command = ["openssl", "ts", "-verify", "-data", seal, "-in", stamp, "-CAfile", authority]
    if expected and not stamp.is_file():
        found.append(f"{stamp.name}: time stamp missing")
    elif expected and authority and subprocess.run(command, capture_output=True, check=False).returncode:
        found.append(f"{stamp.name}: time stamp wrong")


def read_entries(root: Path, file: dict, found: list[str]) -> list[bytes]:
    path = root / file["path"]
    data = path.read_bytes() if path.is_file() else b""
    if sha256(data) != file["sha256"] or len(lines := gzip.decompress(data).splitlines()) != file["count"]:
        found.append(f"{path.name}: entries wrong")
        return []
    return lines


def verify_package(root: Path, package: str, sealed: dict, keys: list, found: list[str]) -> None:
    """Steps 5 and 6."""
    folder = root / package
    names = {path.name for path in folder.glob("*") if path.is_file() and not path.is_symlink()}
    good: dict[str, dict] = {}  # what each document says that can be relied on
    for name in sorted({name for name in names if DOCUMENT.fullmatch(name)} | sealed.keys()):
        try:
            good[name] = verify_document(folder, name, names, sealed.get(name), keys)
        except (Wrong, ValueError, KeyError, TypeError, AttributeError) as error:
            found.append(f"{package}/{name}: {error}")
            if entry := sealed.get(name):
                good[name] = (entry["copy"] or {}) | {"status": entry["status"], "uri": entry["copy_path"]}
    claimed = set()
    for name, record in ((name, good[name]) for name in good if name.endswith(".custody.json")):
        copy = record["uri"].rpartition("/")[2]
        claimed.add(copy)
        if tombstone := good.get(name.replace(".custody.", ".erased.")):
            if copy in names or tombstone["status"] != "erased":
                found.append(f"{package}/{copy}: not erased")
        elif copy not in names:
            found.append(f"{package}/{copy}: copy missing")
        elif hashlib.file_digest((folder / copy).open("rb"), "sha256").hexdigest() != record["sha256"]:
            found.append(f"{package}/{copy}: copy changed")
    for name in sorted(names - claimed):
        of = name.removesuffix(".dsse.json")
        if COPY.fullmatch(name) or (of != name and DOCUMENT.fullmatch(of) and of not in names):
            found.append(f"{package}/{name}: unrecorded")


def verify_document(folder: Path, name: str, names: set[str], entry: dict | None, keys: list) -> dict:
    """What a document says, when it is what was sealed, or was signed later."""
    if name not in names:
        raise Wrong("document missing")
    data, path, signature = (folder / name).read_bytes(), f"{folder.name}/{name}", f"{name}.dsse.json"
    envelope = (folder / signature).read_bytes() if signature in names else b""
    document = read_json(data)
    video, kind = name.split(".")[:2]
    if (document["package_id"], document["meeting_video_id"]) != (folder.name, video):
        raise Wrong("it is about another recording")
    if entry and sha256(data) == entry["file"]["sha256"] and not entry["envelope"] and not envelope:
        return document  # was sealed unsigned
    if not envelope:
        raise Wrong("signature missing")
    subjects, predicate = open_envelope(envelope, keys, OF_DOCUMENT)
    copy = document["uri"].rpartition("/")[2] if kind == "custody" else ""
    expected = {path: sha256(data)} | ({f"{folder.name}/{copy}": document["sha256"]} if copy else {})
    if kind == "custody" and not (COPY.fullmatch(copy) and copy.split(".")[0] == video):
        raise Wrong("it names no copy of its recording")
    if subjects != expected or not TIME.fullmatch(predicate["signed_at"]):
        raise Wrong("signature wrong: it was made for another document")
    sealed = entry and (entry["file"]["sha256"], (entry["envelope"] or {}).get("sha256"))
    is_newer = not entry or not entry["signed_at"] or predicate["signed_at"] > entry["signed_at"]
    if sealed != (sha256(data), sha256(envelope)) and not is_newer:
        raise Wrong("rolled back: it is not what was sealed, and was signed no later")
    return document


def load_keys(pem: bytes) -> list:
    blocks = re.findall(rb"(?s)-----BEGIN PUBLIC KEY.*?END PUBLIC KEY-----", pem)
    return list(map(serialization.load_pem_public_key, blocks))


if __name__ == "__main__":
    archive, pem, last, authority = (*sys.argv[1:], None, None)[:4]
    differences = verify(Path(archive), load_keys(Path(pem).read_bytes()), last, authority and Path(authority))
    sys.exit(print("\n".join(differences) or "No difference.") or bool(differences))
