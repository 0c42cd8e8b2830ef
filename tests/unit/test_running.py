"""What a running backend remembers."""

from __future__ import annotations

from pathlib import Path

from backend.admission import Admission
from backend.core.label_config import parse_label_config
from backend.interfaces import default_label_config
from backend.running import PROJECTS, Running
from backend.settings import Settings
from backend.vitals import VitalSigns
from backend.worker import Worker
from tests.slow_judge import slow_service


def test_of_any_number_of_projects_the_last_are_shown(tmp_path: Path) -> None:
    service, vitals = slow_service(tmp_path / "s.sqlite", 0), VitalSigns()
    worker = Worker(service, 4, vitals)
    running = Running(Settings(engine="scripted"), service, worker, vitals, Admission(9, 9, lambda: 0.0), None)
    judging = service.judging(parse_label_config(default_label_config()))
    for number in range(1, 1001):
        running.saw(f"{number}.1795361354", judging)
    running.saw("801.1795361354", judging)
    shown = [project.project for project in running.view().projects]
    assert (len(shown), shown[:3], shown[-1]) == (PROJECTS, ["801", "1000", "999"], "802")
    service.close()
