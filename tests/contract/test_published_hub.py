"""Datasets of a Hub are brought in by the real client: ours whole, others' whatever their files are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.errors import BatchError
from backend.published.opening import Wanted, published_form
from tests.contract import hub_emulator
from tests.datasets_made import image, png, write_parquet

READ = """
import json, sys
from pydantic import SecretStr
from backend.core.label_config import parse_label_config
from backend.interfaces import default_label_config
from backend.published.into_project import Bringing
from backend.published.opening import Wanted, open_published

said = json.loads(sys.argv[1])
published = open_published(Wanted(token=SecretStr("hf_write"), **said))
bringing = Bringing(published, default_label_config())
print(json.dumps([published.config, published.rows, bringing.data_of("caption")]))
"""


def read(hub: Any, home: Path, **wanted: Any) -> subprocess.CompletedProcess[str]:
    """What a machine that has nothing cached finds."""
    return subprocess.run(
        [sys.executable, "-c", READ, json.dumps(wanted)],
        cwd=Path(__file__).parents[2],
        env=hub_emulator.environment(hub.address, hub.token, home),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def of_folder(folder: Path) -> dict[str, hub_emulator.HubFile]:
    return {
        path.relative_to(folder).as_posix(): hub_emulator.HubFile(path.read_bytes(), path.suffix == ".parquet")
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_configs_and_splits_of_the_hub_are_found_by_the_card(hub: Any, tmp_path: Path) -> None:
    card = "---\nconfigs:\n"
    for config in ("default", "more"):
        card += f"- config_name: {config}\n  data_files:\n"
        for split in ("train", "test"):
            found = [{"image": image(n), "caption": f"{config} {split} {n}"} for n in range(2)]
            write_parquet(tmp_path / "x" / "data" / config / f"{split}-00000-of-00001.parquet", found)
            card += f"  - split: {split}\n    path: data/{config}/{split}-*.parquet\n"
    (tmp_path / "x" / "README.md").write_text(f"{card}---\n# Theirs\n", encoding="utf-8")
    hub.repos["me/theirs"] = hub_emulator.HubRepo(True, of_folder(tmp_path / "x"))
    done = read(hub, tmp_path / "home", location="me/theirs")
    assert done.returncode == 0, done.stderr
    said = [{"caption": f"default {split} {n}"} for split in ("train", "test") for n in range(2)]
    assert json.loads(done.stdout) == ["default", 4, said]
    done = read(hub, tmp_path / "home", location="me/theirs", config="more", split="test")
    assert json.loads(done.stdout) == ["more", 2, [{"caption": f"more test {n}"} for n in range(2)]]
    done = read(hub, tmp_path / "home", location="me/theirs", config="none")
    assert "BatchError: me/theirs has no config none, only default, more; choose one with --config-name" in done.stderr


def test_image_files_of_the_hub_are_streamed(hub: Any, tmp_path: Path) -> None:
    lines = "".join(json.dumps({"file_name": f"{n}.png", "text": f"Dog {n}."}) + "\n" for n in range(3))
    files = {f"train/{n}.png": hub_emulator.HubFile(png(n), is_lfs=True) for n in range(3)}
    files["train/metadata.jsonl"] = hub_emulator.HubFile(lines.encode(), is_lfs=False)
    hub.repos["me/files"] = hub_emulator.HubRepo(True, files)
    done = read(hub, tmp_path / "home", location="me/files")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["default", None, [{"caption": f"Dog {n}."} for n in range(3)]]


def test_a_dataset_that_is_not_there_is_said_so(hub: Any, tmp_path: Path) -> None:
    done = read(hub, tmp_path / "home", location="me/nothing")
    assert "BatchError: cannot open the dataset me/nothing: " in done.stderr


FORM = """
import sys
from pydantic import SecretStr
from backend.published.opening import Wanted, published_form

print(published_form(Wanted(sys.argv[1], token=SecretStr("hf_write"))))
"""


def test_the_label_config_that_a_dataset_holds_is_read(hub: Any, tmp_path: Path) -> None:
    hub.repos["me/ours"] = hub_emulator.HubRepo(
        True, {"label_config.xml": hub_emulator.HubFile("<View/>é".encode(), False)}
    )
    hub.repos["me/older"] = hub_emulator.HubRepo(True, {"README.md": hub_emulator.HubFile(b"# Older", False)})
    said = []
    for name in ("me/ours", "me/older"):
        environment = hub_emulator.environment(hub.address, hub.token, tmp_path / "home")
        command = [sys.executable, "-c", FORM, name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert said == ["<View/>é\n", "None\n"]
    offline = {**hub_emulator.environment(hub.address, hub.token, tmp_path / "other"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", FORM, "me/ours"]
    done = subprocess.run(command, env=offline, capture_output=True, text=True, timeout=120, check=False)
    assert "BatchError: cannot read label_config.xml of me/ours: " in done.stderr
    (tmp_path / "folder").mkdir()
    assert published_form(Wanted(str(tmp_path / "folder"))) is None
    (tmp_path / "folder" / "label_config.xml").write_bytes(b"\xff")
    with pytest.raises(BatchError, match=r"cannot read label_config.xml of .* give the label config by --config"):
        published_form(Wanted(str(tmp_path / "folder")))
