"""Destinations with odd names, folders that others use as well, and the command line without its comforts."""

from __future__ import annotations

import getpass
import json
import os

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.custody.__main__ import main
from tests.hostile.hostile_platform import PACKAGE

ODD_NAMES = ["a b", "a%20b", "ü–日本", "a'b\"c", "a@b:c", "~", "-rf", "x.mp4", "n" * 255]


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("end", ["", "/", "///"])
def test_the_whole_chain_runs_in_a_folder_of_any_name(ground, tmp_path, name, end):
    ground.platform.add("v")
    destination = f"file://{tmp_path}/{name}{end}"
    copies = ground.download(destination=destination)
    assert (tmp_path / name / PACKAGE / "v.mp4").read_bytes() == ground.platform.bytes_of["v"]
    ground.delete(verified_copies=json.loads(json.dumps(copies)))
    assert ground.download(destination=destination) == copies
    assert main(["verify", destination]) == 0
    assert sorted(os.listdir(tmp_path / name / PACKAGE)) == ["v.custody.json", "v.deletion.json", "v.mp4"]


@pytest.mark.parametrize("what", ["destination", "package"])
def test_links_to_folders_are_followed(ground, tmp_path, what):
    ground.platform.add("v")
    (tmp_path / "disk").mkdir()
    link = ground.folder if what == "destination" else ground.folder / PACKAGE
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(tmp_path / "disk", target_is_directory=True)
    copies = ground.download()
    ground.delete(verified_copies=copies)
    assert ground.download() == copies
    assert main(["verify", ground.destination]) == 0


def a_folder(path):
    path.mkdir()


def a_broken_link(path):
    path.symlink_to("nowhere")


def a_file(path):
    path.write_bytes(b"of another origin")


@pytest.mark.parametrize("name", ["v.mp4", "v.custody.json", PACKAGE])
@pytest.mark.parametrize("make", [a_folder, a_broken_link, a_file])
def test_what_others_have_put_there_is_neither_lost_nor_taken_for_a_copy(ground, make, name):
    ground.platform.add("v")
    path = ground.folder / name if name == PACKAGE else ground.path(name)
    path.parent.mkdir(parents=True)
    make(path)
    try:
        copies = ground.download()
    except exceptions.IinkedSignError:
        assert os.path.lexists(path)
        return
    if make is a_file:
        assert [path.read_bytes() for path in ground.folder.rglob("*set-aside*")] == [b"of another origin"]
    ground.delete(verified_copies=copies)
    assert ground.path("v.mp4").read_bytes() == ground.platform.bytes_of["v"]


@pytest.mark.parametrize("place", ["/proc/1", "/sys", "/dev/zero", "/dev/zero/x"])
def test_a_place_that_takes_no_files_is_an_error_of_the_store(ground, place):
    ground.platform.add("v")
    with pytest.raises(exceptions.StorageError):
        ground.download(destination=f"file://{place}")
    with pytest.raises(exceptions.StorageError):
        ground.delete(package_id=PACKAGE, delete_all=True, receipt_destination=f"file://{place}")
    assert ground.platform.calls("delete") == []


@pytest.mark.parametrize("length", [205, 215, 225, 241])
def test_an_id_whose_files_just_have_a_name_is_copied_and_deleted(ground, length):
    video = ground.platform.add("v" * length)
    copies = ground.download()
    ground.delete(verified_copies=copies)
    ground.holds(video, besides=(f"{video}.deletion.json",))


# --- files of others beside the copies ------------------------------------------------------------------------------

OTHERS = ["v.vtt", "v.mp4.txt", "v.notes.json", "v.jpg", "notes.txt", "README", "v.mp4.sha256"]


def with_others(ground):
    ground.platform.add("v")
    ground.download()
    for name in OTHERS:
        ground.path(name).write_text("of another origin")


def test_erasing_a_copy_leaves_the_files_of_others(ground):
    with_others(ground)
    assert main(["erase", ground.destination, PACKAGE, "v", "--reason", "asked for", "--yes"]) == 0
    assert ground.names() == sorted([*OTHERS, "v.custody.json", "v.erased.json"])


def test_the_files_of_others_are_no_difference(ground, capsys):
    with_others(ground)
    assert main(["verify", ground.destination]) == 0
    assert "1 recordings: 1 ok" in capsys.readouterr().out


# --- the command line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyError("uid not found"), OSError("no name")])
def test_a_user_without_a_name_can_erase(ground, monkeypatch, error):
    def nobody():
        raise error

    ground.platform.add("v")
    ground.download()
    monkeypatch.setattr(getpass, "getuser", nobody)
    assert main(["erase", ground.destination, PACKAGE, "v", "--reason", "asked for", "--yes"]) == 0
    assert json.loads(ground.path("v.erased.json").read_text())["erased_by"] == str(os.getuid())


@pytest.mark.parametrize(
    "command",
    [
        ["verify", "{destination}", "--max-parallel", "0"],
        ["verify", "{destination}", "--max-parallel", "-1"],
        ["verify", "{destination}", "--package", "../x"],
        ["verify", "{destination}", "--package", ""],
        ["verify", "/no/scheme"],
        ["erase", "{destination}", "..", "v", "--reason", "r"],
        ["erase", "{destination}", PACKAGE, "../v", "--reason", "r"],
        ["erase", "{destination}", PACKAGE, "v/../w", "--reason", "r", "--yes"],
        ["erase", "{destination}", PACKAGE, "v", "--reason", " ", "--yes"],
        ["erase", "{destination}", PACKAGE, "", "--reason", "r", "--yes"],
    ],
)
def test_a_command_that_makes_no_sense_does_nothing_and_says_why(ground, capsys, command):
    ground.platform.add("v")
    ground.download()
    assert main([word.format(destination=ground.destination) for word in command]) == 2
    assert capsys.readouterr().err
    ground.holds("v")
