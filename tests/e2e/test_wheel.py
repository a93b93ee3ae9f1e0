"""The wheel is whole: built, installed in an empty environment outside the checkout, migrated, and its page opened."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECRET = "w" * 40


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `pip install` would build it, by the project's own backend."""
    folder = tmp_path_factory.mktemp("dist")
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    made = subprocess.run(
        [sys.executable, "-c", build, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )
    assert made.returncode == 0, made.stderr
    return folder / made.stdout.split()[-1]


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it, and nothing of the checkout.

    The dependencies are those of the environment the tests run in, lent by a path entry: path entries inside a lent
    folder are not followed, so the checkout's own is out of reach.
    """
    home = tmp_path_factory.mktemp("empty") / "env"
    venv.create(home, with_pip=False)
    site = next((home / "lib").glob("python3*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin" / "python"


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "DATABASE_URL": database_url,
        "CROSSFADE_SECRET": SECRET,
        "CROSSFADE_PORT": "0",
    }


@pytest.fixture
def controller(python: Path, environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The address of a controller that runs from the wheel, in a folder that is not the checkout."""
    printed = tmp_path / "printed"
    with printed.open("w") as output:
        process = subprocess.Popen(
            [python, "-m", "crossfade", "controller"], cwd=tmp_path, env=environment, stdout=output, stderr=output
        )
    try:
        for _ in range(300):
            words = printed.read_text().split()
            address = next((word for word in words if word.startswith("http://127.0.0.1:")), None)
            if address:
                break
            assert process.poll() is None, printed.read_text()
            time.sleep(0.1)
        assert address, printed.read_text()
        yield address.rstrip(".,")
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_the_wheel_carries_migrations_and_dashboards(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "crossfade/migrations/env.py" in names
    assert "crossfade/dashboards/templates/base.html" in names
    assert "crossfade/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "controller", "crossfade/.", ".ci"))]


def test_the_shim_needs_boto3_and_nothing_else(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    metadata = next(name for name in archive.namelist() if name.endswith("METADATA"))
    needed = [
        line
        for line in archive.read(metadata).decode().splitlines()
        if line.startswith("Requires-Dist:") and "extra ==" not in line
    ]
    assert [line.split()[1].split(">")[0] for line in needed] == ["boto3"]


def test_it_migrates_and_shows_its_page(python: Path, environment: dict[str, str], tmp_path: Path) -> None:
    for _ in range(2):  # the second time there is nothing to do
        run = subprocess.run(
            [python, "-m", "crossfade", "migrate"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr


def test_its_login_page_and_styles_are_served(controller: str) -> None:
    with urllib.request.urlopen(controller + "/login", timeout=10) as page:
        assert b"Crossfade" in page.read()
    with urllib.request.urlopen(controller + "/static/app.css", timeout=10) as styles:
        assert styles.status == 200
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(controller + "/v1/rollouts", timeout=10)
