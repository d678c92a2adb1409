"""docs/formats.md is enough: its vectors hold, and a reader written from it finds what the package finds."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_iinked.custody import dsse, entries, merkle, statement
from airflow_provider_iinked.custody.keys import load_public_keys
from airflow_provider_iinked.storage.layout import COPY_SUFFIXES
from tests.custody.sealed_archives import TEN, Authority, SignedArchive, build, make_key
from tests.custody_formats import second_reader

HERE = Path(__file__).parent

READER = HERE / "second_reader.py"
PAGE = (HERE.parents[1] / "docs/formats.md").read_text()
VECTORS = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    pytest.importorskip("rfc3161_client")
    from airflow_provider_iinked.custody.timestamp import request_timestamp

    authority = Authority(tmp_path_factory.mktemp("authority"))
    folder = tmp_path_factory.mktemp("made")
    archive, last = build(folder, make_key("p256"), lambda data: request_timestamp(data, authority.answer))
    return folder, archive, last.sha256, authority.folder / "ca.pem"


@pytest.fixture
def archive(made, tmp_path):
    subprocess.run(["cp", "-r", made[0], tmp_path / "made"], check=True)
    return SignedArchive(tmp_path / "made" / "archive", made[1].key)


def read(archive: SignedArchive, made) -> list[str]:
    keys = second_reader.load_keys(archive.key.public.pem.encode())
    return second_reader.verify(archive.root, keys, made[2], made[3])


# --- the second reader


def test_it_has_at_most_200_lines_and_imports_the_standard_library_and_cryptography_only():
    assert len(READER.read_text().splitlines()) <= 200
    tree = ast.parse(READER.read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} | {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    tops = {module.partition(".")[0] for module in modules}
    assert tops - set(sys.stdlib_module_names) == {"cryptography"}


def test_it_finds_nothing_in_an_archive_as_it_was_sealed(archive, made):
    assert read(archive, made) == []


@pytest.mark.parametrize("name", TEN)
def test_it_finds(name, archive, made):
    harm, kinds = TEN[name]
    harm(archive)
    text = "\n".join(read(archive, made)).replace("no trusted key signed it", "signature wrong")
    assert any(kind in text for kind in kinds), text


def test_an_erasure_and_what_is_new_are_no_difference_to_it(archive, made):
    archive.erase("p2", "v2")
    archive.record("p6", "v1")
    archive.receipt("p2", "v1")
    assert read(archive, made) == []


def test_it_runs_alone_and_exits_with_1_on_a_difference(archive, made, tmp_path):
    (tmp_path / "keys.pem").write_text(archive.key.public.pem)
    command = [sys.executable, "-I", READER, archive.root, tmp_path / "keys.pem", made[2], made[3]]
    good = subprocess.run(command, capture_output=True, text=True)
    assert (good.returncode, good.stdout) == (0, "No difference.\n")
    (archive.root / "p1/v1.mp4").write_bytes(b"other")
    bad = subprocess.run(command, capture_output=True, text=True)
    assert (bad.returncode, bad.stdout) == (1, "p1/v1.mp4: copy changed\n")


def harm_bytes(pattern, change):
    def harm(archive: SignedArchive) -> None:
        [path] = archive.root.glob(pattern)
        path.write_bytes(change(path.read_bytes()))

    return harm


def become_a_link(archive: SignedArchive) -> None:
    path = archive.root / "p1/v2.custody.json"
    path.rename(archive.root / "elsewhere")
    path.symlink_to(archive.root / "elsewhere")


def hide_under_another_case(archive: SignedArchive) -> None:
    (archive.root / "p1/v2.custody.json").rename(archive.root / "p1/V2.custody.json")


def add_a_recording(archive: SignedArchive) -> None:
    archive.record("p1", "v7")
    (archive.root / "p1/v7.custody.json.dsse.json").unlink()


def sign_seventeen_times(archive: SignedArchive) -> None:
    path = archive.root / "p1/v2.custody.json.dsse.json"
    envelope = json.loads(path.read_bytes())
    path.write_text(json.dumps(envelope | {"signatures": envelope["signatures"] * 17}))


ODD = {
    "a member twice in an envelope": harm_bytes("p1/v2.custody.json.dsse.json", lambda x: b'{"payload":"",' + x[1:]),
    "a byte order mark before an envelope": harm_bytes("p1/v2.custody.json.dsse.json", lambda x: b"\xef\xbb\xbf" + x),
    "an envelope in UTF-16": harm_bytes("p1/v2.custody.json.dsse.json", lambda x: x.decode().encode("utf-16")),
    "more after an envelope": harm_bytes("p1/v2.custody.json.dsse.json", lambda x: x + x),
    "line ends of a record": harm_bytes("p1/v2.custody.json", lambda x: x + b"\r\n"),
    "a member twice in a record": harm_bytes("p1/v2.custody.json", lambda x: b'{"size":1,' + x[1:]),
    "a float for a size": harm_bytes("p1/v2.custody.json", lambda x: x.replace(b'"format": 1', b'"format": 1.0')),
    "a seal with a member twice": harm_bytes("_seals/00000002.seal.json", lambda x: b'{"payload":"",' + x[1:]),
    "a record that became a link": become_a_link,
    "a record under another case": hide_under_another_case,
    "an unsigned recording more": add_a_recording,
    "seventeen signatures": sign_seventeen_times,
}


@pytest.mark.parametrize("name", ODD)
def test_both_readers_find(name, archive, made):
    ODD[name](archive)
    assert not archive.audit(expected_seal=made[2]).is_intact
    assert read(archive, made) != []


# --- the vectors


def test_the_signed_bytes_of_the_page():
    pae = VECTORS["pae"]
    assert dsse.pre_authentication_encoding(pae["payloadType"], pae["payload"].encode()).decode() == pae["signed"]


def test_the_envelope_of_the_page():
    keys = load_public_keys(VECTORS["public_key"])
    read = statement.read_statement(VECTORS["envelope"].encode(), statement.DOCUMENT_TYPE, keys)
    assert read.subjects == {
        "p1/v1.custody.json": second_reader.sha256(VECTORS["document"].encode()),
        "p1/v1.mp4": second_reader.sha256(VECTORS["copy"].encode()),
    }
    assert dsse.open_envelope(VECTORS["envelope"].encode(), keys).body.decode() == VECTORS["payload"]


def test_the_entries_of_the_page():
    for line, leaf in zip(VECTORS["lines"], VECTORS["leaves"], strict=True):
        assert entries.parse_entry(line.encode()).line().decode() == line
        assert merkle.leaf_hash(line.encode()).hex() == leaf


def test_the_tree_of_the_page():
    leaves = [bytes.fromhex(leaf) for leaf in VECTORS["leaves"]]
    assert [merkle.root_of(leaves[:size]).hex() for size in range(4)] == VECTORS["roots"]
    assert [item.hex() for item in merkle.Tree(leaves).inclusion_proof(0)] == VECTORS["inclusion_of_leaf_0"]
    assert [item.hex() for item in merkle.Tree(leaves).consistency_proof(1)] == VECTORS["consistency_of_1"]


def test_the_second_reader_gives_the_same_values():
    keys = second_reader.load_keys(VECTORS["public_key"].encode())
    subjects, predicate = second_reader.open_envelope(VECTORS["envelope"].encode(), keys, second_reader.OF_DOCUMENT)
    assert predicate == {"signed_at": "2026-11-27T12:00:00.000000Z"}
    assert set(subjects) == {"p1/v1.custody.json", "p1/v1.mp4"}
    leaves = [bytes.fromhex(leaf) for leaf in VECTORS["leaves"]]
    assert [second_reader.tree_root(leaves[:size]).hex() for size in range(4)] == VECTORS["roots"]


@pytest.mark.parametrize("suffix", COPY_SUFFIXES)
def test_the_page_and_its_reader_know_every_suffix_of_a_copy(suffix):
    where = "COPY_SUFFIXES (storage/layout.py)"
    assert f"`{suffix[1:]}`" in PAGE, f"{where} has {suffix}; name it in the table of docs/formats.md"
    assert second_reader.COPY.fullmatch(f"v1{suffix}"), f"{where} has {suffix}; add it to COPY in second_reader.py"
