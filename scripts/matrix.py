"""
Run the tests on each Airflow that is in use, each with the dependencies of its own time:

    python scripts/matrix.py [--only 3.0.6 3.3.2-py3.13 ...] [--report docs/versions.md] [PYTEST ARGUMENTS]

An old Airflow breaks with today's dependencies, so it is installed from what the index held the day after its release.
This package and what it needs beyond Airflow come on top, as new as they are: old deployment, new provider.
Needs uv, and the Pythons named below (``uv python install 3.11 3.12 3.13`` brings them).
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / ".venvs"
BEGIN, END = "<!-- matrix begin -->", "<!-- matrix end -->"
# About machines and pages rather than versions; the Makefile has targets for them.
LEFT_OUT = [
    "--ignore=tests/deployment",
    "--ignore=tests/distributed",
    "--ignore=tests/browser/test_connection_form.py",
    "--ignore=tests/docs/test_docs.py",
]


@dataclass(frozen=True)
class Row:
    airflow: str
    released: str
    python: str
    reported_only: bool = False
    lowest: bool = False

    @property
    def name(self) -> str:
        return f"{self.airflow}-py{self.python}"

    @property
    def cells(self) -> str:
        note = " (reported only)" if self.reported_only else ", all at their lowest" if self.lowest else ""
        return f"| {self.airflow}{note} | {self.python} |"


ROWS = [
    Row("2.11.0", "2025-05-20", "3.11", lowest=True),
    Row("2.11.2", "2026-03-14", "3.11"),
    Row("2.11.2", "2026-03-14", "3.12"),
    Row("3.0.6", "2025-08-29", "3.11"),
    Row("3.1.8", "2026-03-11", "3.12"),
    Row("3.2.2", "2026-05-29", "3.12"),
    Row("3.3.2", "2026-09-17", "3.11"),
    Row("3.3.2", "2026-09-17", "3.13"),
    Row("3.4.0b2", "2026-10-20", "3.13", reported_only=True),
]


def uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        sys.exit("uv is needed: pip install uv")
    return found


def find_python(version: str) -> str:
    """A full path where there is one; uv looks for itself otherwise."""
    for folder in sorted(Path.home().glob(f".pyenv/versions/{version}.*"), reverse=True):
        return str(folder / "bin" / "python")
    return shutil.which(f"python{version}") or version


def environment(row: Row) -> Path:
    return PLACE / f"matrix-{row.name}"


def floors() -> dict[str, str]:
    """The lowest version of each package that pyproject.toml allows."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return dict(line.split(">=") for line in declared)


def install(row: Row) -> Path:
    folder = environment(row)
    python = folder / "bin" / "python"
    done = folder / ".installed"
    if done.exists():
        return python
    until = (datetime.date.fromisoformat(row.released) + datetime.timedelta(days=2)).isoformat()
    run = [uv(), "pip", "install", "-q", "-p", str(python)]
    subprocess.run([uv(), "venv", "-q", "--clear", "-p", find_python(row.python), str(folder)], check=True)
    subprocess.run([*run, "--exclude-newer", until, f"apache-airflow=={row.airflow}"], check=True)
    frozen = subprocess.run([uv(), "pip", "freeze", "-p", str(python)], check=True, capture_output=True, text=True)
    keep = folder / "kept.txt"
    lowest = [f"{name}=={floor}" for name, floor in floors().items() if row.lowest and name != "apache-airflow"]
    # Providers are released apart from Airflow, and may be newer than it.
    free = ("apache-airflow-providers-", *(f"{pin.partition('==')[0]}==" for pin in lowest))
    keep.write_text("\n".join(line for line in frozen.stdout.splitlines() if not line.startswith(free)))
    subprocess.run(
        [*run, "-c", str(keep), "--group", f"{ROOT}/pyproject.toml:test", "-e", str(ROOT), *lowest], check=True
    )
    done.touch()
    return python


def test(row: Row, workers: str, arguments: list[str]) -> str:
    """Words for the table; the output is in ``.venvs/matrix-<version>.log``."""
    try:
        python = install(row)
    except subprocess.CalledProcessError as error:
        return f"could not be installed ({error.returncode})"
    command = [str(python), "-W", "ignore", "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider", *LEFT_OUT]
    log = environment(row).with_name(f"matrix-{row.name}.log")
    started = time.monotonic()
    with log.open("w") as output:
        # An environment may have been made from another clone; what is tested is this one.
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run([*command, *arguments], cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT)
    last = [line for line in log.read_text().splitlines() if " in " in line and "s" in line]
    found = re.findall(r"(\d+) (passed|failed|skipped|errors?)\b", last[-1] if last else "")
    words = ", ".join(f"{number} {what}" for number, what in found) or "did not run"
    return f"{words} ({time.monotonic() - started:.0f} s)"


def report(page: Path, results: dict[Row, str]) -> None:
    """Write the rows that ran into the table of a page; the others keep what was found on their day."""
    before, _, rest = page.read_text().partition(BEGIN)
    old, _, after = rest.partition(END)
    today = datetime.date.today().isoformat()
    lines = ["| Airflow | Python | tests | on |", "|---|---|---|---|"]
    for row in ROWS:
        kept = next((line for line in old.splitlines() if line.startswith(row.cells)), f"{row.cells} not run | |")
        lines.append(f"{row.cells} {results[row]} | {today} |" if row in results else kept)
    page.write_text("\n".join([before + BEGIN, *lines, END + after]))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", nargs="+", default=[], metavar="VERSION", help="these versions of Airflow")
    options.add_argument("--report", type=Path, help="Markdown file whose table is written again")
    options.add_argument("--workers", default="2", help="test processes (2)")
    chosen, arguments = options.parse_known_args()
    if chosen.report and arguments:
        options.error(f"The table is about all tests; without --report it may be {' '.join(arguments)}.")
    results = {}
    for row in ROWS:
        if not chosen.only or {row.airflow, row.name} & set(chosen.only):
            print(f"Airflow {row.airflow}, Python {row.python} ...", flush=True)
            results[row] = test(row, chosen.workers, arguments)
            print(f"  {results[row]}", flush=True)
            if chosen.report:
                report(chosen.report, results)
    bad = [row for row, words in results.items() if re.search(r"failed|error|not", words) and not row.reported_only]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
