"""A bundle is a BagIt bag that others check without this package, and that says what it holds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_iinked.custody.archive_files import LocalArchive
from airflow_provider_iinked.custody.audit import AuditOptions, audit_archive
from airflow_provider_iinked.custody.bundle import BundleOptions, export_bundle
from airflow_provider_iinked.custody.chain import load_seal
from airflow_provider_iinked.custody.errors import SealError
from airflow_provider_iinked.custody.merkle import is_included, leaf_hash
from tests.custody.sealed_archives import SignedArchive, flip, make_key


def export(archive: SignedArchive, out: Path, **options):
    return export_bundle(archive.files, out, [archive.key.public], BundleOptions(**options))


@pytest.fixture
def bundle(archive, tmp_path, roots, last_seal):
    out = tmp_path / "bundle"
    assert export(archive, out, tsa_certificates=roots, expected_seal=last_seal).differences == []
    return out


@pytest.fixture
def elsewhere(tmp_path):
    """Runs commands in an environment without this package: an empty home, nothing of this one's on Python's path."""

    def run(*command: object, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", **more}
        return subprocess.run(list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True)

    return run


@pytest.fixture(scope="session")
def bagit_folder(tmp_path_factory):
    """The library alone in a folder: what somebody else would install."""
    bagit = Path(pytest.importorskip("bagit").__file__)
    folder = tmp_path_factory.mktemp("bagit")
    shutil.copy(bagit, folder)
    [metadata] = bagit.parent.glob("bagit-*.dist-info")
    shutil.copytree(metadata, folder / metadata.name)
    return folder


# --- checked by others


def validate(elsewhere, bagit_folder, bundle):
    # -S: without the packages of this environment.
    command = [sys.executable, "-S", "-m", "bagit", "--validate", bundle]
    return elsewhere(*command, cwd=bundle.parent, PYTHONPATH=str(bagit_folder))


def test_that_environment_is_without_this_package(elsewhere, bagit_folder, tmp_path):
    command = [sys.executable, "-S", "-c", "import airflow_provider_iinked"]
    assert "ModuleNotFoundError" in elsewhere(*command, cwd=tmp_path, PYTHONPATH=str(bagit_folder)).stderr


def test_bagit_validates_it(bundle, elsewhere, bagit_folder):
    done = validate(elsewhere, bagit_folder, bundle)
    assert done.returncode == 0, done.stderr
    assert "is valid" in done.stderr


def test_bagit_finds_a_changed_byte(bundle, elsewhere, bagit_folder):
    flip(bundle / "data/archive/p1/v1.mp4")
    done = validate(elsewhere, bagit_folder, bundle)
    assert done.returncode == 1
    assert "data/archive/p1/v1.mp4 sha256 validation failed" in done.stderr


def test_it_is_a_bag_of_version_1_0(bundle):
    assert (bundle / "bagit.txt").read_bytes() == b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"


def test_sha256sum_checks_it(bundle, elsewhere):
    for manifest in ("manifest-sha256.txt", "tagmanifest-sha256.txt"):
        done = elsewhere("sha256sum", "--strict", "--quiet", "-c", manifest, cwd=bundle)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    listed = {line.split("  ", 1)[1] for line in (bundle / "manifest-sha256.txt").read_text().splitlines()}
    assert listed == {str(path.relative_to(bundle)) for path in (bundle / "data").rglob("*") if path.is_file()}


def test_openssl_verifies_every_signature(bundle, elsewhere):
    done = elsewhere("sh", "check-signatures.sh", cwd=bundle / "data")
    envelopes = list(bundle.glob("data/archive/*/*.dsse.json")) + list(bundle.glob("data/archive/_seals/*.seal.json"))
    assert (done.returncode, done.stdout) == (0, f"{len(envelopes)} signatures verified, 0 not verified\n")


def test_openssl_does_not_verify_a_signature_by_another_key(bundle, elsewhere):
    for path in (bundle / "data/keys").iterdir():
        path.write_text(make_key().public.pem)
    done = elsewhere("sh", "check-signatures.sh", cwd=bundle / "data")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("0 signatures verified")


def test_openssl_verifies_every_time_stamp(bundle, elsewhere):
    data = bundle / "data"
    stamps = sorted(data.glob("archive/_seals/*.tsr"))
    assert len(stamps) == 4
    for stamp in stamps:
        seal = stamp.with_name(f"{stamp.name[:8]}.seal.json")
        command = ["openssl", "ts", "-verify", "-data", seal, "-in", stamp, "-CAfile", data / "authority.pem"]
        assert "Verification: OK" in elsewhere(*command, cwd=data).stdout


def test_what_openssl_verifies_names_the_copies_digest(bundle):
    signed = (bundle / "data/openssl/p1/v1.custody.json.dsse.pae").read_bytes()
    statement = json.loads(signed[signed.index(b"{") :])
    digests = {item["name"]: item["digest"]["sha256"] for item in statement["subject"]}
    manifest = dict(reversed(line.split("  ", 1)) for line in (bundle / "manifest-sha256.txt").read_text().splitlines())
    assert digests["p1/v1.mp4"] == manifest["data/archive/p1/v1.mp4"]


# --- what it holds


def test_a_whole_archive_verifies_from_its_bundle(bundle, archive, roots, last_seal):
    options = AuditOptions(expected_seal=last_seal, tsa_certificates=roots)
    assert audit_archive(LocalArchive(bundle / "data/archive"), [archive.key.public], options).differences == []


def test_a_bundle_of_one_package_names_no_other(archive, tmp_path, roots):
    out = tmp_path / "one"
    result = export(archive, out, packages=frozenset({"p-3"}), tsa_certificates=roots)
    assert (result.differences, result.recordings, result.erased) == ([], 1, ["p-3/v1"])
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert not any("/p1/" in name or "entries" in name for name in names)
    for path in out.rglob("*"):
        if path.is_file() and path.suffix not in (".tsr", ".sig"):
            assert b'"p1/' not in path.read_bytes(), path


def test_the_proofs_of_one_packages_entries_lead_to_the_newest_seals_root(archive, tmp_path):
    out = tmp_path / "one"
    export(archive, out, packages=frozenset({"p1", "p-3"}))
    seal = load_seal(LocalArchive(out / "data/archive"), 4, [archive.key.public]).seal
    proofs = [json.loads(line) for line in (out / "data/proofs.jsonl").read_text().splitlines()]
    assert [proof["path"] for proof in proofs] == [
        "p-3/v1.custody.json",
        "p-3/v1.erased.json",
        "p1/v1.custody.json",
        "p1/v1.deletion.json",
        "p1/v2.custody.json",
    ]
    for proof in proofs:
        assert (proof["size"], proof["root"]) == (seal.frontier.size, seal.frontier.root.hex())
        path = [bytes.fromhex(item) for item in proof["proof"]]
        leaf = leaf_hash(proof["line"].encode())
        assert is_included(leaf, proof["index"], proof["size"], path, seal.frontier.root)
        assert json.loads(proof["line"])["path"] == proof["path"]


def test_the_account_tells_what_happened_to_each_recording(bundle, last_seal):
    text = (bundle / "data/account.txt").read_text()
    assert "there was no difference" in text
    assert last_seal in text
    assert "Package p1, recording v1" in text
    assert "original:  deleted on the platform" in text
    assert "reason: a court's order" in text


def test_the_account_and_the_draft_name_a_difference(archive, tmp_path):
    flip(archive.root / "p1/v1.mp4")
    out = tmp_path / "bundle"
    assert [str(item.kind) for item in export(archive, out).differences] == ["copy changed"]
    assert "* p1/v1.mp4: copy changed" in (out / "data/account.txt").read_text()
    assert "VERIFYING IT FOUND 1 DIFFERENCES" in (out / "data/certification-draft-FRE-902-13-14.txt").read_text()


def test_the_account_names_holds_locks_and_approvals(empty, tmp_path, elsewhere, bagit_folder):
    empty.record("p1", "v1", retain_until="2036-11-27T00:00:00+00:00", retention_mode="COMPLIANCE")
    approval = {"responded_by": "A. Reviewer", "responded_at": "2026-11-27T12:00:00+00:00"}
    empty.sign("p1", "v1", ".deletion.json", {"format": 1, "status": "deleted", "approval": approval})
    empty.record("p2", "v1")
    empty.write("p2/_hold-0123abcd.json", b"{}")
    empty.seal()
    assert export(empty, tmp_path / "bundle").differences == []
    text = (tmp_path / "bundle/data/account.txt").read_text()
    assert "Under legal hold when it was made: package p2." in text
    assert "locked:    until 2036-11-27T00:00:00+00:00, COMPLIANCE" in text
    assert "approved:  by A. Reviewer, 2026-11-27T12:00:00+00:00" in text
    assert validate(elsewhere, bagit_folder, tmp_path / "bundle").returncode == 0


def test_a_documents_text_cannot_write_lines_of_the_account(empty, tmp_path):
    empty.record("p1", "v1", time="2026\n\nPackage p9, recording forged\x1b[31m")
    empty.seal()
    export(empty, tmp_path / "bundle")
    text = (tmp_path / "bundle/data/account.txt").read_text()
    assert not any(line.startswith("Package p9") for line in text.splitlines())
    assert "\x1b" not in text


def test_the_draft_is_unsigned_and_says_so(bundle, last_seal):
    text = (bundle / "data/certification-draft-FRE-902-13-14.txt").read_text()
    assert text.startswith("DRAFT - NOT SIGNED")
    assert "902(13)" in text
    assert "902(14)" in text
    assert "28 U.S.C. 1746" in text
    assert last_seal in text


# --- refused


def test_a_folder_that_exists_is_refused(archive, tmp_path):
    with pytest.raises(SealError, match="exists already"):
        export(archive, tmp_path)


def test_a_package_that_is_not_there_is_refused_and_nothing_is_left(archive, tmp_path):
    with pytest.raises(SealError, match="no package p7"):
        export(archive, tmp_path / "bundle", packages=frozenset({"p1", "p7"}))
    assert list(tmp_path.glob("bundle*")) == []


def test_an_export_that_fails_half_way_leaves_nothing(archive, tmp_path):
    class Failing(LocalArchive):
        def open(self, path):
            if path.startswith("p2/"):
                raise OSError("the disk is gone")
            return super().open(path)

    with pytest.raises(OSError, match="disk is gone"):
        export_bundle(Failing(archive.root), tmp_path / "bundle", [archive.key.public])
    assert list(tmp_path.glob("bundle*")) == []


_KILLED = """
import os, sys
from pathlib import Path
from airflow_provider_iinked.custody.archive_files import LocalArchive
from airflow_provider_iinked.custody.bundle import export_bundle
from airflow_provider_iinked.custody.keys import load_public_keys

class Dying(LocalArchive):
    left = int(sys.argv[4])

    def open(self, path):
        Dying.left -= 1
        if Dying.left < 0:
            os.kill(os.getpid(), 9)
        return super().open(path)

export_bundle(Dying(Path(sys.argv[1])), Path(sys.argv[2]), load_public_keys(sys.argv[3]))
"""


@pytest.mark.parametrize("opened", [0, 3, 20])
def test_an_export_that_is_killed_leaves_nothing_that_looks_whole(archive, tmp_path, opened):
    command = [sys.executable, "-c", _KILLED, archive.root, tmp_path / "bundle", archive.key.public.pem, str(opened)]
    done = subprocess.run(list(map(str, command)), cwd=Path(__file__).parents[2], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    assert not (tmp_path / "bundle").exists()
    assert not list(tmp_path.glob("bundle*/bagit.txt")) + list(tmp_path.glob("bundle*/manifest-*"))
    assert export(archive, tmp_path / "bundle").differences == []
