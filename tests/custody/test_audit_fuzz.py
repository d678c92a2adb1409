"""Archives edited at random: whatever was done to what was sealed, an audit finds it and never fails otherwise."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.custody.sealed_archives import SignedArchive
from tests.custody_formats import second_reader

EXAMPLES = int(os.environ.get("ARCHIVE_EDITS", "25"))


def names(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in names(root)}


# --- single edits: each takes the files and two numbers


def change_a_byte(root: Path, files: list[Path], a: int, b: int) -> None:
    data = bytearray(files[a % len(files)].read_bytes())
    data[b % len(data)] ^= 1 + b % 255
    files[a % len(files)].write_bytes(bytes(data))


def cut_off(root: Path, files: list[Path], a: int, b: int) -> None:
    path = files[a % len(files)]
    path.write_bytes(path.read_bytes()[: b % path.stat().st_size])


def append(root: Path, files: list[Path], a: int, b: int) -> None:
    path = files[a % len(files)]
    path.write_bytes(path.read_bytes() + b"\0\n "[b % 3 : b % 3 + 1] * (1 + b % 40))


def remove(root: Path, files: list[Path], a: int, b: int) -> None:
    files[a % len(files)].unlink()


def copy_over(root: Path, files: list[Path], a: int, b: int) -> None:
    one, other = files[a % len(files)], files[b % len(files)]
    if one != other:
        shutil.copy(one, other)


def swap(root: Path, files: list[Path], a: int, b: int) -> None:
    one, other = files[a % len(files)], files[b % len(files)]
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)


def rename(root: Path, files: list[Path], a: int, b: int) -> None:
    files[a % len(files)].rename(files[a % len(files)].with_name(f"other{b % 3}.json"))


def put_back(root: Path, files: list[Path], a: int, b: int) -> None:
    """The older version of one file, or of a whole folder."""
    older = root.parent / ("after-2" if b % 2 else "after-3")
    path = files[a % len(files)].relative_to(root)
    if b % 5 == 0:
        shutil.rmtree(root / path.parts[0])
        if (older / path.parts[0]).exists():
            shutil.copytree(older / path.parts[0], root / path.parts[0])
    elif (older / path).exists():
        shutil.copy(older / path, root / path)


def put_a_member_in(root: Path, files: list[Path], a: int, b: int) -> None:
    """A member that is there twice, by one of its two spellings."""
    documents = [path for path in files if path.suffix == ".json"]
    path = documents[a % len(documents)]
    name = [b'"payload"', b'"p\\u0061yload"', b'"signatures"', b'"sha256"', b'"status"'][b % 5]
    path.write_bytes(b"{" + name + b":null," + path.read_bytes().lstrip(b"{"))


def write_otherwise(root: Path, files: list[Path], a: int, b: int) -> None:
    """The same text, in another encoding or with other line ends."""
    documents = [path for path in files if path.suffix == ".json"]
    path = documents[a % len(documents)]
    data = path.read_bytes()
    path.write_bytes([b"\xef\xbb\xbf" + data, data.replace(b"\n", b"\r\n") + b"\r\n", data + b"\0"][b % 3])


def make_a_link(root: Path, files: list[Path], a: int, b: int) -> None:
    """A link among the seals may be followed: digests and signatures decide."""
    files = [path for path in files if path.parent.name != "_seals"]
    path = files[a % len(files)]
    aside = root.parent / f"aside-{a}-{b}"
    path.rename(aside)
    path.symlink_to(aside)


def change_the_case(root: Path, files: list[Path], a: int, b: int) -> None:
    path = files[a % len(files)]
    path.rename(path.with_name(path.name.swapcase()))


EDITS: list[Callable[[Path, list[Path], int, int], None]] = [
    change_a_byte,
    cut_off,
    append,
    remove,
    copy_over,
    swap,
    rename,
    put_back,
    put_a_member_in,
    write_otherwise,
    make_a_link,
    change_the_case,
]
steps = st.lists(
    st.tuples(st.sampled_from(EDITS), st.integers(0, 10_000), st.integers(0, 10_000)), min_size=1, max_size=3
)


def matters(path: str) -> bool:
    """
    Whether a byte of the file can matter. A time stamp authority's answer has parts that nobody signs, such as the
    text of its status; that its stamp is one of this seal is verified.
    """
    return not path.endswith(".tsr")


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
@example([(put_back, 1, 5), (put_back, 20, 5), (remove, 3, 0)])
def test_no_edit_of_what_was_sealed_passes_either_reader(built, roots, authority, folder, edits):
    original, archive, last = built
    shutil.rmtree(folder / "built", ignore_errors=True)
    shutil.copytree(original, folder / "built")
    root = folder / "built" / "archive"
    before = contents(root)
    for edit, a, b in edits:
        if files := [path for path in names(root) if path.stat().st_size]:
            edit(root, files, a, b)
    after = contents(root)
    changed = {path for path in before if before[path] != after.get(path)}
    result = SignedArchive(root, archive.key).audit(expected_seal=last.sha256, tsa_certificates=roots)
    keys = second_reader.load_keys(archive.key.public.pem.encode())
    found = second_reader.verify(root, keys, last.sha256, authority.folder / "ca.pem")
    if not {path for path in changed if not matters(path)}:
        assert bool(found) == (not result.is_intact), (found, result.differences)
    if any(matters(path) or path not in after for path in changed):
        assert not result.is_intact, changed
    elif not changed and not after.keys() - before.keys():
        assert result.is_intact
