"""The commands of custody: one way of arguments, documented exit codes, and what they print."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from airflow_provider_iinked.custody.__main__ import main
from airflow_provider_iinked.custody.commands import progress
from airflow_provider_iinked.custody.commands.registry import COMMANDS
from airflow_provider_iinked.custody.keys import load_signing_key
from tests.custody.sealed_archives import SignedArchive, flip, make_pem


class Place:
    """A signed archive of two recordings, its keys in files, and the command line."""

    def __init__(self, folder, capsys):
        self.folder, self._capsys = folder, capsys
        pem = make_pem()
        self.archive = SignedArchive(folder / "archive", load_signing_key(pem))
        self.private, self.public = folder / "key.pem", folder / "public.pem"
        self.private.write_text(pem)
        self.public.write_text(self.archive.key.public.pem)
        self.archive.record("p1", "v1", api_base="https://api.test")
        self.archive.record("p2", "v2", api_base="https://api.test")
        self.destination = f"file://{folder}/archive"

    def run(self, name, *arguments):
        """Exit code, what was printed, and what was printed as an error."""
        code = main([name, self.destination, *map(str, arguments)])
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err

    def json(self, name, *arguments):
        code, out, _ = self.run(name, *arguments, "--json")
        return code, json.loads(out)

    def seal(self, *more):
        return self.json("seal", "--signing-key", self.private, *more)


@pytest.fixture
def place(tmp_path, capsys):
    return Place(tmp_path, capsys)


# --- verify


def test_verify_with_a_public_key_verifies_signatures_and_seals(place):
    _, sealed = place.seal()
    code, out, _ = place.run("verify", "--public-key", place.public, "--last-seal", sealed["sha256"])
    assert code == 0
    assert "Signatures and seals: no differences" in out
    assert out.splitlines()[-1] == "2 recordings: 2 ok"


@pytest.mark.parametrize("harm", ["an edited record", "a removed seal", "another key"])
def test_what_only_signatures_and_seals_show_is_a_difference(place, harm):
    _, sealed = place.seal()
    if harm == "an edited record":
        path = place.archive.root / "p1/v1.custody.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "note": "edited"}))
    elif harm == "a removed seal":
        next(place.archive.root.glob("_seals/*.seal.json")).unlink()
    else:
        place.public.write_text(load_signing_key(make_pem()).public.pem)
    assert place.run("verify")[0] == 0
    code, found = place.json("verify", "--public-key", place.public, "--last-seal", sealed["sha256"])
    assert (code, found["audit"]["intact"]) == (1, False)


def test_verify_with_a_budget_goes_on_where_the_last_run_stopped(place):
    first = place.json("verify", "--max-bytes", 1, "--max-parallel", 1)[1]["findings"]
    seen = {found["package_id"] for found in first}
    for _ in range(4):
        seen |= {found["package_id"] for found in place.json("verify", "--max-bytes", 1)[1]["findings"]}
    assert len(first) < 3
    assert seen == {"p1", "p2"}


def test_a_budget_and_packages_do_not_go_together(place):
    code, _, err = place.run("verify", "--max-bytes", 1, "--package", "p1")
    assert (code, "budget" in err) == (2, True)


def test_verify_names_packages_under_legal_hold(place):
    place.run("hold", "--package", "p1", "--reason", "a matter")
    assert "Under legal hold: p1\n" in place.run("verify")[1]
    assert place.json("verify")[1]["held"] == ["p1"]


def test_rows_are_printed_while_later_recordings_are_still_being_read(place, monkeypatch):
    from airflow_provider_iinked.custody.verify import Verifier

    really, printed_before = Verifier.findings, []

    def findings(self):
        for found in really(self):
            printed_before.append(len(place._capsys.readouterr().out.splitlines()))
            yield found

    monkeypatch.setattr(Verifier, "findings", findings)
    place.run("verify")
    assert printed_before == [1, 1]  # the heading, then the first recording's row


def test_a_documents_text_cannot_move_the_cursor_or_forge_a_row(place):
    place.archive.erase("p1", "v1")
    path = place.archive.root / "p1/v1.erased.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "reason": "x\x1b[2K\np9  v9  ok"}))
    out = place.run("verify")[1]
    assert "\x1b" not in out
    assert not any(line.startswith("p9") for line in out.splitlines())


# --- seal, export, report


def test_seal_says_what_it_read_and_its_digest(place):
    code, sealed = place.seal()
    assert (code, sealed["number"], sealed["documents"], sealed["differences"]) == (0, 1, 2, [])
    code, out, _ = place.run("seal", "--signing-key", place.private)
    assert (code, "0 files were read" in out, "Keep its digest elsewhere" in out) == (0, True, True)


def test_seal_leaves_out_what_differs(place):
    place.seal()
    flip(place.archive.root / "p1/v1.custody.json", 3)
    code, sealed = place.seal()
    assert (code, [item["path"] for item in sealed["differences"]]) == (1, ["p1/v1.custody.json"])


def test_seal_without_a_key_seals_nothing(place):
    code, _, err = place.run("seal")
    assert (code, "--signing-key" in err) == (2, True)
    assert not (place.archive.root / "_seals").exists()


def test_seal_takes_its_key_from_a_connection(place, monkeypatch):
    value = {"conn_type": "generic", "password": place.private.read_text()}
    monkeypatch.setenv("AIRFLOW_CONN_EVIDENCE_KEY", json.dumps(value))
    assert place.json("seal", "--signing-conn-id", "evidence_key")[0] == 0


def test_export_writes_a_bundle_of_the_packages_that_were_named(place, tmp_path):
    place.seal()
    code, out, _ = place.run("export", tmp_path / "bag", "--package", "p1", "--public-key", place.public)
    assert (code, "1 recordings" in out) == (0, True)
    assert (tmp_path / "bag/data/archive/p1/v1.mp4").exists()
    assert not (tmp_path / "bag/data/archive/p2").exists()


def test_export_needs_a_public_key(place, tmp_path):
    assert place.run("export", tmp_path / "bag")[0] == 2
    assert not (tmp_path / "bag").exists()


def test_report_with_a_key_says_that_seals_agree_and_what_is_held(place, tmp_path):
    pytest.importorskip("matplotlib")
    place.seal()
    place.run("hold", "--package", "p1", "--reason", "a matter")
    code, _, _ = place.run("report", "-o", tmp_path / "r.html", "--public-key", place.public)
    page = (tmp_path / "r.html").read_text()
    assert (code, "Signatures, seals and digests agree" in page, "Legal hold" in page) == (0, True, True)


def test_report_without_a_key_claims_nothing_about_signatures(place, tmp_path):
    pytest.importorskip("matplotlib")
    assert place.run("report", "-o", tmp_path / "r.html")[0] == 0
    assert "Signatures and seals were not verified" in (tmp_path / "r.html").read_text()


def test_report_without_a_key_names_a_missing_copy(place, tmp_path):
    pytest.importorskip("matplotlib")
    (place.archive.root / "p1/v1.mp4").unlink()
    assert place.run("report", "-o", tmp_path / "r.html")[0] == 1
    assert "p1/v1" in (tmp_path / "r.html").read_text()


def test_a_report_of_nothing_says_so(place, tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "empty").mkdir()
    place.destination = f"file://{tmp_path}/empty"
    code, _, err = place.run("report", "-o", tmp_path / "r.html")
    assert (code, "There is nothing below" in err) == (1, True)


# --- erase, hold, release


def test_nothing_is_erased_with_a_key_whose_tombstone_would_excuse_nothing(place, tmp_path):
    (tmp_path / "other.pem").write_text(make_pem())
    erase = ("erase", "p1", "v1", "--reason", "asked for", "--yes", "--signing-key", tmp_path / "other.pem")
    code, _, err = place.run(*erase)
    assert (code, "another key" in err, (place.archive.root / "p1/v1.mp4").exists()) == (1, True, True)
    assert place.run(*erase, "--public-key", place.public)[0] == 0


def test_a_hold_of_a_package_that_has_nothing_yet_says_so(place):
    assert "make sure that its id is right" in place.run("hold", "--package", "p9", "--reason", "a matter")[1]
    assert "make sure" not in place.run("hold", "--package", "p1", "--reason", "a matter")[1]


def test_a_held_package_is_not_erased_until_its_release(place):
    erase = ("erase", "p1", "v1", "--reason", "asked for", "--yes", "--signing-key", place.private)
    _, [held] = place.json("hold", "--package", "p1", "--reason", "a matter")
    assert place.run(*erase)[0] == 1
    assert place.run("release", "--package", "p1", "--reason", "over", "--hold", held["hold_id"])[0] == 0
    assert place.run(*erase)[0] == 0
    assert place.run("verify", "--public-key", place.public)[0] == 1  # there is no seal yet
    assert place.seal()[0] == 0
    assert place.run("verify", "--public-key", place.public)[0] == 0


def test_a_hold_names_deletions_that_were_under_way(place, monkeypatch):
    from airflow_provider_iinked.custody import hold

    monkeypatch.setattr(hold.time, "monotonic", iter(range(0, 10_000, 100)).__next__)
    place.archive.receipt("p1", "v1", "requested")
    code, [held] = place.json("hold", "--package", "p1", "--reason", "a matter")
    assert (code, held["under_way"]) == (1, ["v1"])


def test_release_of_one_of_two_holds_says_what_remains(place):
    first = place.json("hold", "--package", "p1", "--reason", "one")[1][0]["hold_id"]
    second = place.json("hold", "--package", "p1", "--reason", "two")[1][0]["hold_id"]
    assert place.run("release", "--package", "p1", "--reason", "over")[0] == 1
    code, out, _ = place.run("release", "--package", "p1", "--reason", "over", "--hold", first)
    assert (code, second in out) == (0, True)


# --- all of them


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_takes_a_destination_first_and_json(command):
    flags = [option.flags for option in command.options]
    assert flags[0] == ("destination",)
    assert ("--json",) in flags


@pytest.mark.parametrize("arguments", [[], ["verify"], ["erase", "file:///x", "p", "v"], ["hold", "file:///x"]])
def test_a_missing_argument_ends_with_2_before_anything_is_done(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("seal",),
        ("seal", "--signing-key", "a", "--signing-conn-id", "b"),
        ("verify", "--max-parallel", "0"),
        ("verify", "--package", "../x"),
        ("verify", "--last-seal", "abc"),
        ("report", "-o", "r.html", "--last-seal", "abc"),
    ],
    ids=" ".join,
)
def test_a_wrong_argument_ends_with_2_and_one_sentence(place, arguments):
    code, out, err = place.run(*arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)


def test_ctrl_c_ends_with_130_and_one_sentence(place, monkeypatch):
    def interrupt(given):
        raise KeyboardInterrupt

    monkeypatch.setattr("airflow_provider_iinked.custody.commands.options.Path.read_bytes", interrupt)
    code, out, err = place.run("seal", "--signing-key", place.private)
    assert (code, out, len(err.splitlines())) == (130, "", 1)


def test_a_reader_that_ends_early_is_no_traceback(place):
    command = [sys.executable, "-m", "airflow_provider_iinked.custody", "verify", place.destination, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        running.stdout.close()
        err = running.stderr.read()
    assert (running.returncode, "Traceback" in err, "Broken pipe" in err, "Exception ignored" in err) == (
        *(1, False, False, False),
    )


@pytest.mark.parametrize("option", ["--public-key", "--tsa-certificate"])
def test_a_file_that_is_not_there_is_named(place, option, tmp_path):
    more = [] if option == "--public-key" else ["--public-key", place.public]
    code, _, err = place.run("verify", option, tmp_path / "missing.pem", *more)
    assert (code, f"{option} {tmp_path}/missing.pem cannot be read" in err, len(err.splitlines())) == (2, True, 1)


def test_a_private_key_given_as_public_is_refused_and_not_shown(place):
    code, _, err = place.run("verify", "--public-key", place.private)
    assert code == 2
    assert place.private.read_text().splitlines()[1] not in err


def test_a_terminal_gets_a_bar_and_the_same_result(place, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    code, out, _ = place.run("seal", "--signing-key", place.private)
    assert (code, "Seal 1 holds 2 documents" in out) == (0, True)


AIRFLOW = """
import contextlib, io, json, sys
from airflow.__main__ import main
ran = {}
for arguments in json.load(sys.stdin):
    sys.argv = ["airflow", "iinked-sign", *arguments]
    printed, code = io.StringIO(), 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
    ran[arguments[0]] = [code, printed.getvalue()]
print("RAN", json.dumps(ran))
"""


def test_airflows_command_line_has_the_same_commands_and_exit_codes(place):
    pytest.importorskip("airflow.sdk.execution_time.secrets_masker", reason="cli entries of providers need Airflow 3.2")
    from airflow_provider_iinked.command_line import get_cli_commands

    [group] = get_cli_commands()
    assert [action.name for action in group.subcommands] == [command.name for command in COMMANDS]
    key, trusted = ("--signing-key", place.private), ("--public-key", place.public)
    page = place.folder / "report.html"
    lines = [
        ("seal", *key),
        ("verify", *trusted),
        ("report", "-o", page, *trusted),
        ("hold", "--package", "p1", "--reason", "matter 17"),
        ("erase", "p1", "v1", "--reason", "request 2", "--yes", *key),
        ("release", "--package", "p1", "--reason", "closed"),
        ("export", place.folder / "bundle", *trusted),
    ]
    given = json.dumps([[name, place.destination, *map(str, more)] for name, *more in lines])
    done = subprocess.run([sys.executable, "-c", AIRFLOW], input=given, capture_output=True, text=True, check=False)
    ran = json.loads(done.stdout.rpartition("RAN ")[2] or "{}")
    expected = {
        "seal": [0, "Seal 1 holds 2 documents"],
        "verify": [0, "2 recordings: 2 ok"],
        "report": [0, "report.html"],
        "hold": [0, "is held"],
        "erase": [1, "legal hold"],
        "release": [0, "is released"],
        "export": [0, "bundle"],
    }
    seen = {
        name: [code, expected[name][1] if expected[name][1] in text else text] for name, (code, text) in ran.items()
    }
    assert seen == expected, done.stderr[-500:]
    assert seen.keys() == {command.name for command in COMMANDS}
    assert page.stat().st_size > 1000
