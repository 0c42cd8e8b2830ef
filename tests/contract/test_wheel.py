"""The package as it is built and installed: complete, and at work outside the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from random import Random

import pytest
import readme_renderer.markdown
import yaml
from trove_classifiers import classifiers

from backend.engines.demo.sample import sample_items
from backend.engines.demo.world import draw
from backend.interfaces import KINDS, rubric_names

ROOT = Path(__file__).parents[2]
PACKAGES = ("backend", "exporters")
AT_WORK = """
import json, backend
from backend.interfaces import KINDS, default_label_config, sample_tasks
from backend.store import Store
store = Store("store.sqlite")
store.verdicts.get(["key"])
store.close()
print(json.dumps([backend.__file__, len(default_label_config()) > 0, [len(sample_tasks(kind)) > 0 for kind in KINDS]]))
"""


def tracked(*under: str) -> list[str]:
    """Files of the repository that are there, those included that are about to be added."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *under]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in listed.splitlines() if (ROOT / name).is_file())


@dataclass(frozen=True, slots=True)
class Built:
    """A wheel, the source distribution that it was built from, and the folder that the wheel was installed into."""

    wheel: Path
    sources: Path
    installed: Path

    @property
    def names(self) -> list[str]:
        """The wheel's files."""
        with zipfile.ZipFile(self.wheel) as archive:
            return sorted(archive.namelist())

    @property
    def metadata(self) -> Message:
        """What the wheel says about itself."""
        with zipfile.ZipFile(self.wheel) as archive:
            [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
            return HeaderParser().parsestr(archive.read(name).decode())

    def run(self, folder: Path, *command: str | Path) -> str:
        """What a command prints that runs in a folder with the installed package before all others."""
        environment = {**os.environ, "PYTHONPATH": str(self.installed), "VLM_JUDGE_EXPLAIN": "never"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def vlm_judge(self) -> Path:
        """The command."""
        return self.installed / "bin" / "vlm-judge"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Built from a copy, so that nothing that lies in the checkout can help, nor anything be left there."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in tracked(*PACKAGES, "pyproject.toml", "README.md", "LICENSE"):
        (folder / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "checkout" / name)
    python = sys.executable
    build = [python, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(folder / "checkout")]
    done = subprocess.run(build, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "eprecat" not in done.stdout + done.stderr
    [wheel], [sources] = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*install, "--target", str(folder / "site"), str(wheel)], check=True, timeout=120)
    return Built(wheel, sources, folder / "site")


def test_the_wheel_has_every_file_of_the_packages_and_no_other(built: Built) -> None:
    found = [name for name in built.names if ".dist-info/" not in name]
    assert found == tracked(*PACKAGES)
    told = {name.partition(".dist-info/")[2] for name in built.names if ".dist-info/" in name}
    assert told == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"}
    assert {"backend/py.typed", "exporters/py.typed"} <= set(found)


def test_the_source_distribution_can_be_built_from(built: Built) -> None:
    """The wheel was: it has the packages, and what the build reads."""
    with tarfile.open(built.sources) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", *tracked(*PACKAGES)} <= names
    assert not any(name.startswith("tests/") or "__pycache__" in name for name in names)


def test_the_package_says_what_it_is(built: Built) -> None:
    told = built.metadata
    assert (told["Name"], told["Requires-Python"]) == ("vlm-judge-label-studio", ">=3.11")
    assert (told["License-Expression"], told["License-File"]) == ("Apache-2.0", "LICENSE")
    assert set(told.get_all("Classifier", ())) <= classifiers
    extras = set(told.get_all("Provides-Extra", ()))
    assert {"demo", "dev", "export", "label-studio-ml", "local", "ray"} <= extras
    named = {requirement.partition(";")[0].strip() for requirement in told.get_all("Requires-Dist", ())}
    assert not any("@" in requirement for requirement in named)  # addresses cannot be installed from an index
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert told["Version"] == citation["version"]
    assert told["Author"] == citation["authors"][0]["name"]
    assert told["License-Expression"] == citation["license"]


def test_the_readme_can_be_shown_by_a_package_index(built: Built) -> None:
    assert built.metadata["Description-Content-Type"] == "text/markdown"
    shown = readme_renderer.markdown.render(str(built.metadata.get_payload()))
    assert shown is not None
    assert shown.startswith('<h1 id="user-content-vlm-judge-for-label-studio">VLM Judge for Label Studio')


def test_the_installed_command_helps_and_lists_what_comes_with_it(built: Built, tmp_path: Path) -> None:
    assert built.run(tmp_path, built.vlm_judge, "--help").startswith("Usage: vlm-judge")
    listed = built.run(tmp_path, built.vlm_judge, "rubric", "list")
    assert {line.split()[0] for line in listed.splitlines() if line.strip()} >= set(rubric_names())


def test_the_installed_package_finds_its_data_files(built: Built, tmp_path: Path) -> None:
    """Label configs, sample tasks with their pictures, and the migrations of the store."""
    told = json.loads(built.run(tmp_path, sys.executable, "-c", AT_WORK))
    assert told == [str(built.installed / "backend" / "__init__.py"), True, [True] * len(KINDS)]
    assert (tmp_path / "store.sqlite").stat().st_size > 0


def test_the_installed_command_judges_a_folder_of_images(built: Built, tmp_path: Path) -> None:
    """A right caption and one in which a word was changed, by the embedded judge."""
    import datasets

    (tmp_path / "boards").mkdir()
    for name, kind in (("right", "none"), ("wrong", "colour")):
        item = next(item for item in sample_items() if item.example.corruption == kind)
        draw(item.scene, Random(item.drawing_seed)).save(tmp_path / "boards" / f"{name}.png")
        (tmp_path / "boards" / f"{name}.txt").write_text(item.example.caption, encoding="utf-8")
    built.run(tmp_path, built.vlm_judge, "judge", "--source", "boards", "--out", "judged")
    files = [str(file) for file in (tmp_path / "judged").rglob("*.parquet")]
    rows = datasets.Dataset.from_parquet(files, cache_dir=str(tmp_path / "cache"))
    assert {Path(row["judge_row"]).stem: row["judge_decision"] for row in rows} == {"right": "accept", "wrong": "fix"}


def test_the_example_runs_with_the_installed_package(built: Built, tmp_path: Path) -> None:
    example = ROOT / "examples" / "judge_three_images.py"
    assert len(example.read_text(encoding="utf-8").splitlines()) <= 60
    printed = built.run(tmp_path, sys.executable, example)
    heads = [line.partition(", confidence")[0] for line in printed.splitlines() if not line.startswith(" ")]
    assert heads == ["right: accept", "wrong colour: fix", "something missing: reject"]
    assert list(tmp_path.iterdir()) == []
