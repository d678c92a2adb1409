"""
Break rules of the package on purpose, one at a time, in a copy of it; the random histories have to find each one.

    python -m tests.stateful.mutations [NAME ...]

STATEFUL_EXAMPLES sets how many histories each gets (60). The exit code is 1 when one was not found.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "airflow_provider_iinked"


@dataclass(frozen=True)
class Mutation:
    """
    One rule, and how it is broken.

    :param name: the rule that does not hold any more.
    :param module: where it stands, below the package.
    :param rule: its text, which stands there once.
    :param broken: what takes its place.
    """

    name: str
    module: str
    rule: str
    broken: str

    def apply(self, package: Path) -> None:
        """Break the rule in a copy of the package."""
        path = package / self.module
        text = path.read_text()
        if text.count(self.rule) != 1:
            raise ValueError(f"{self.name}: its rule stands {text.count(self.rule)} times in {self.module}")
        path.write_text(text.replace(self.rule, self.broken))


MUTATIONS = (
    Mutation(
        "min_copies is not compared",
        "deletion/rules.py",
        "if len(verification.domains) < self._min_copies:",
        "if False:",
    ),
    Mutation(
        "a copy that only a record promises is not verified",
        "deletion/verification.py",
        "        left += _promised_copies(open_store, record, copy, known)\n",
        "",
    ),
    Mutation(
        "the lock is not read before the deletion",
        "deletion/verification.py",
        '    return [f"the store shows {lack} of the {name}" for name, lack in lacking.items() if lack]\n',
        "    return []\n",
    ),
    Mutation(
        "the lock is not read back after writing",
        "storage/base.py",
        "        if found is None or found.lacks(lock):\n",
        "        if found is None:\n            return lock\n        if found.lacks(lock):\n",
    ),
    Mutation(
        "the digest of the approved plan is not compared",
        "deletion/approval.py",
        "    if not now or _digest_of({**done, **now}) == approval.plan_sha256:\n",
        "    if True:\n",
    ),
    Mutation(
        "a word counts as a person's yes",
        "deletion/approval.py",
        '    if value["approved"] is not True:\n',
        '    if not value["approved"]:\n',
    ),
    Mutation(
        "no hold is looked for right before a request",
        "deletion/turn.py",
        "            self._package.check_not_held(self._recording.id)\n",
        "            pass\n",
    ),
    Mutation(
        "no hold is looked for beside a copy that only a record names",
        "deletion/receipts.py",
        "        return (*places, *beside)\n",
        "        return tuple(places)\n",
    ),
    Mutation(
        "no hold is looked for before an erasure",
        "custody/tombstone.py",
        "from airflow_provider_iinked.custody.hold import check_not_held\n",
        "def check_not_held(*_: object) -> None: ...\n",
    ),
    Mutation(
        "no hold is looked for at all",
        "custody/hold.py",
        "    for folder, holds in _find_in_all_folders(store, layout).items():\n        if holds:\n",
        "    for folder, holds in _find_in_all_folders(store, layout).items():\n        if holds and False:\n",
    ),
    Mutation(
        "an answer is enough for a receipt that says deleted",
        "deletion/package.py",
        "            confirmed = use is ReceiptUse.COMPLETE\n",
        "            confirmed = True\n",
    ),
    Mutation(
        "a copy is not read again",
        "deletion/verification.py",
        "    return copy_mismatches(record, size=read[1], sha256=read[0], validator=None)\n",
        "    return []\n",
    ),
    Mutation(
        "the recording as listed is not compared",
        "deletion/recording.py",
        "    problems = [text for record in verification.records for text in listing_mismatches(record, video)]\n",
        "    problems: list[str] = []\n",
    ),
    Mutation(
        "the XCom is not compared",
        "deletion/verification.py",
        "    _refuse(claim, problems + expected_mismatches(record, claim))\n",
        "    _refuse(claim, problems)\n",
    ),
)


def is_found(mutation: Mutation | None) -> tuple[bool, str]:
    """Run the histories on a copy of the package; say whether they failed, after how many, and with which words."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        root = Path(name)
        for folder in (PACKAGE, "tests"):
            shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", root)
        if mutation is not None:
            mutation.apply(root / PACKAGE)
        environment = {"STATEFUL_EXAMPLES": "60", **os.environ, "PYTHONPATH": str(root)}
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "tests/stateful/test_chain_machine.py",
        ]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    words = re.findall(r"^E +AssertionError: (.*)", done.stdout, re.MULTILINE)
    if done.returncode and (not words or "the watch itself failed" in words[0]):
        errors = "\n".join(re.findall(r"^E .*", done.stdout, re.MULTILINE))
        raise RuntimeError(f"The histories broke otherwise:\n{errors or done.stdout[-4000:]}{done.stderr[-2000:]}")
    tally = " ".join(re.findall(r"\d+ (?:examples|steps)\b", done.stdout)).replace("examples", "histories,")
    return bool(words), f"{tally}. {words[0][:300] if words else ''}"


def main(names: list[str]) -> int:
    """Run all, or those whose names hold one of the words; first the package as it is, which has to pass."""
    chosen = [m for m in MUTATIONS if not names or any(name in m.name for name in names)]
    missed = []
    for mutation in (None, *chosen):
        began = time.monotonic()
        found, words = is_found(mutation)
        what = mutation.name if mutation is not None else "the package as it is"
        print(f"{'found' if found else 'passes'} in {time.monotonic() - began:4.0f} s: {what}. {words}", flush=True)
        if found is (mutation is None):
            missed.append(what)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} broken rules were found.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
