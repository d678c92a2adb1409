"""
Run the tests on each Airflow that is in use, each with the dependencies of its own time:

    python scripts/matrix.py [--full] [--only 3.0.6 ...] [--report docs/versions.md]

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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / ".venvs"
BEGIN, END = "<!-- matrix begin -->", "<!-- matrix end -->"
# What touches Airflow; the rest of the tests is about our own code, the same on each.
# dag.test() is slow on 3.0 (a minute a run), so one mapped chain stands for all.
REDUCED = [
    "tests/home",
    "tests/waiting/test_trigger.py",
    "tests/chain/test_dag_runs.py::test_mapped_chain_deletes_in_each_package_what_it_copied_there",
]
# About machines and pages rather than versions; the Makefile has targets for them.
LEFT_OUT = [
    "--ignore=tests/deployment",
    "--ignore=tests/distributed",
    "--ignore=tests/home/test_browser.py",
    "--ignore=tests/home/test_docs.py",
]


@dataclass(frozen=True)
class Row:
    airflow: str
    released: str
    python: str
    reported_only: bool = False

    @property
    def name(self) -> str:
        return f"matrix-{self.airflow}-py{self.python}"


ROWS = [
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


def install(row: Row) -> Path:
    python = PLACE / row.name / "bin" / "python"
    done = PLACE / row.name / ".installed"
    if done.exists():
        return python
    until = (datetime.date.fromisoformat(row.released) + datetime.timedelta(days=2)).isoformat()
    run = [uv(), "pip", "install", "-q", "-p", str(python)]
    subprocess.run([uv(), "venv", "-q", "--clear", "-p", find_python(row.python), str(PLACE / row.name)], check=True)
    subprocess.run([*run, "--exclude-newer", until, f"apache-airflow=={row.airflow}"], check=True)
    frozen = subprocess.run([uv(), "pip", "freeze", "-p", str(python)], check=True, capture_output=True, text=True)
    keep = PLACE / row.name / "kept.txt"
    # Providers are released apart from Airflow, and may be newer than it.
    lines = [line for line in frozen.stdout.splitlines() if not line.startswith("apache-airflow-providers-")]
    keep.write_text("\n".join(lines))
    subprocess.run([*run, "-c", str(keep), "--group", f"{ROOT}/pyproject.toml:test", "-e", str(ROOT)], check=True)
    done.touch()
    return python


def test(row: Row, full: bool, workers: str) -> str:
    """Words for the table."""
    try:
        python = install(row)
    except subprocess.CalledProcessError as error:
        return f"could not be installed ({error.returncode})"
    home = ROOT / ".test" / row.name
    command = [str(python), "-W", "ignore", "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider"]
    selection = [] if full else [path for path in REDUCED if (ROOT / path.partition("::")[0]).exists()]
    started = time.monotonic()
    with (PLACE / f"{row.name}.log").open("w") as log:
        subprocess.run(
            [*command, *LEFT_OUT, *selection],
            cwd=ROOT,
            env={**os.environ, "AIRFLOW_HOME": str(home)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    last = [line for line in (PLACE / f"{row.name}.log").read_text().splitlines() if " in " in line and "s" in line]
    found = re.findall(r"(\d+) (passed|failed|skipped|errors?)\b", last[-1] if last else "")
    words = ", ".join(f"{number} {what}" for number, what in found) or "did not run"
    return f"{words} ({time.monotonic() - started:.0f} s)"


def table(results: dict[Row, str], full: bool) -> str:
    which = "all tests" if full else ", ".join(f"`{path}`" for path in REDUCED)
    lines = [
        f"Run on {datetime.date.today().isoformat()} with {which}:",
        "",
        "| Airflow | Python | tests |",
        "|---|---|---|",
    ]
    for row, words in results.items():
        lines.append(f"| {row.airflow}{' (reported only)' if row.reported_only else ''} | {row.python} | {words} |")
    return "\n".join(lines)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--full", action="store_true", help="all tests, not the selection")
    options.add_argument("--only", nargs="+", default=[], metavar="VERSION", help="these versions of Airflow")
    options.add_argument("--report", type=Path, help="Markdown file whose table is written anew")
    options.add_argument("--workers", default="2", help="test processes (2)")
    chosen = options.parse_args()
    results = {}
    for row in ROWS:
        if not chosen.only or row.airflow in chosen.only:
            print(f"Airflow {row.airflow}, Python {row.python} ...", flush=True)
            results[row] = test(row, chosen.full, chosen.workers)
            print(f"  {results[row]}", flush=True)
    written = table(results, chosen.full)
    print(written)
    if chosen.report:
        before, _, rest = chosen.report.read_text().partition(BEGIN)
        chosen.report.write_text(f"{before}{BEGIN}\n{written}\n{END}{rest.partition(END)[2]}")
    bad = [row for row, words in results.items() if re.search(r"failed|error|not", words) and not row.reported_only]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
