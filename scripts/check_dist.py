"""Build wheel and sdist, check what is in them, and import every module in an environment with nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
PACKAGE = "airflow_provider_iinked"

# What may be missing for a module that is of use only where it is there.
IMPORT_ALL = """
import importlib, pkgutil, sys
optional = {"pytest", "flask_appbuilder", "wtforms", "av", "rfc3161_client", "matplotlib"}
package = importlib.import_module(sys.argv[1])
count = 0
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
        count += 1
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in optional:
            raise
        print(f"{module.name}: needs {error.name}, which is no dependency")
print(f"{count} modules imported")
"""


def run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT)


def build() -> tuple[Path, Path]:
    """Build both, the wheel out of the sdist."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", DIST)
    run(sys.executable, "-m", "twine", "check", "--strict", *DIST.iterdir())
    return next(DIST.glob("*.whl")), next(DIST.glob("*.tar.gz"))


def check_contents(wheel: Path, sdist: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    others = {top for top in tops if top != PACKAGE and not top.endswith(".dist-info")}
    assert not others, f"the wheel holds {others}"
    for needed in ("py.typed", "custody/templates/report.html.j2"):
        assert f"{PACKAGE}/{needed}" in names, f"the wheel has no {needed}"
    assert not [name for name in names if "/tests/" in name or name.endswith(".pyc")]
    with tarfile.open(sdist) as archive:
        packed = archive.getnames()
    assert any("/example_dags/" in name for name in packed), "the sdist has no example Dags"
    made = ("/.venv", "/.demo", "/.airflow", "__pycache__")
    leftovers = [name for name in packed if any(part in name for part in made)]
    assert not leftovers, f"the sdist holds {leftovers[:3]}"
    print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size >> 10} KiB; {sdist.name}: {len(packed)} files")


def check_import(wheel: Path) -> None:
    """Import everything where only the declared dependencies are."""
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        run(sys.executable, "-m", "venv", folder)
        uv = Path(sys.executable).with_name("uv")
        install = [uv, "pip", "install", "-q", "-p", python] if uv.exists() else [python, "-m", "pip", "install", "-q"]
        run(*install, wheel)
        # Away from the sources, which would be found first.
        command = [str(python), "-W", "ignore", "-c", IMPORT_ALL, PACKAGE]
        subprocess.run(
            command, check=True, cwd=folder, env={"AIRFLOW_HOME": f"{folder}/airflow", "PATH": "/usr/bin:/bin"}
        )


if __name__ == "__main__":
    wheel, sdist = build()
    check_contents(wheel, sdist)
    check_import(wheel)
