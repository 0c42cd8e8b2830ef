"""Every label config that the Label Studio package ships gives valid predictions, or a sentence that says why not."""

from __future__ import annotations

import io
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from label_studio_sdk.label_interface.interface import LabelInterface
from PIL import Image

from backend.core.form import make_form
from backend.core.judging import Judging
from backend.core.label_config import LabelConfig, parse_label_config
from backend.core.types import Filled, Unfilled, Verdict
from backend.engines.scripted import ScriptedEngine
from backend.errors import LabelConfigError
from backend.images import ImageLoader
from backend.service import JudgeService, Prepared
from backend.settings import Settings
from backend.store import Store, verdict_from_json, verdict_to_json
from tests.schema_author import FRAME, author, errors


def templates() -> dict[str, str]:
    """The label configs by the names of their folders."""
    (package,) = find_spec("label_studio").submodule_search_locations  # type: ignore[union-attr, misc]
    paths = sorted(Path(package, "annotation_templates").glob("**/config.yml"))
    return {path.parent.name: yaml.safe_load(path.read_text(encoding="utf-8"))["config"] for path in paths}


TEMPLATES = templates()
ROOT = Path(__file__).parents[2]
INTERFACES = (ROOT / "label_config.xml", *sorted((ROOT / "backend/interfaces").glob("*.xml")))


def picture() -> str:
    content = io.BytesIO()
    Image.new("RGB", FRAME, (200, 30, 30)).save(content, "PNG")
    return "data:image/png;base64," + b64encode(content.getvalue()).decode()


def sample_task(xml: str, config: LabelConfig) -> dict[str, Any]:
    """A task as Label Studio itself makes one up, with real images, and choices where they come from the task."""
    interface: Any = LabelInterface(xml)
    data = interface.generate_sample_task()
    data |= {image.key: [picture(), picture()] if image.several else picture() for image in config.images}
    data |= {control.key: [{"value": "a dog"}, {"value": "a cat"}] for control in config.controls if control.key}
    return {"id": 1, "data": data}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgeService]:
    store = Store(tmp_path_factory.mktemp("store") / "verdicts.sqlite")
    made = JudgeService(ScriptedEngine(author=author), ImageLoader(Settings()), store)
    yield made
    made.close()


def judged(service: JudgeService, xml: str) -> tuple[Judging, Verdict]:
    """Raises LabelConfigError before anything is judged."""
    config = parse_label_config(xml)
    service.judging(config)
    (item,) = service.prepare([sample_task(xml, config)], config)
    assert isinstance(item, Prepared), item
    (verdict,) = service.judge_each([item])
    assert isinstance(verdict, Verdict), verdict
    return item.judging, verdict


def outcome(service: JudgeService, xml: str) -> tuple[str, ...]:
    """The tags that were filled, or why none can be; the package's own check has nothing to say against it."""
    try:
        judging, verdict = judged(service, xml)
    except LabelConfigError as exc:
        return ("refused", str(exc))
    prediction = judging.prediction(verdict)
    assert errors(xml, prediction) == []
    assert verdict_from_json(verdict_to_json(verdict)) == verdict
    assert [entry for entry in verdict.form if isinstance(entry, Unfilled)] == []
    assert {region["from_name"] for region in prediction["result"]} == {
        entry.value.control for entry in verdict.form if isinstance(entry, Filled)
    }
    return ("filled", *(entry.value.tag for entry in verdict.form if isinstance(entry, Filled)))


def test_every_template_is_filled_or_refused_with_a_sentence(service: JudgeService) -> None:
    outcomes = {name: outcome(service, xml) for name, xml in TEMPLATES.items()}
    assert len(outcomes) == 69
    refused = {name: reason for name, (what, reason, *_) in outcomes.items() if what == "refused"}
    blind = {name for name, reason in refused.items() if reason.startswith("the label config shows no image")}
    assert len(blind) == 53
    assert {name: reason.split(";")[0] for name, reason in refused.items() if name not in blind} == {
        name: f"the judge can fill none of the label config's controls (`{control}`: the judge fills no {tag} controls)"
        for name, control, tag in (
            ("inventory-tracking", "objects", "PolygonLabels"),
            ("keypoints", "kp-1", "KeyPointLabels"),
            ("semantic-segmentation-with-masks", "tag", "BrushLabels"),
            ("semantic-segmentation-with-polygons", "label", "PolygonLabels"),
        )
    }
    assert {name: tags for name, (what, *tags) in outcomes.items() if what == "filled"} == {
        "breast-cancer-mammogram-classification": ["Choices"] * 6 + ["TextArea"],
        "content-based-image-search": ["Choices"],
        "image-captioning": ["TextArea"],
        "image-classification": ["Choices"],
        "medical-image-classification-with-bboxes": ["RectangleLabels", "Choices"],
        "multipage-documents": ["RectangleLabels"],
        "object-detection-with-bounding-boxes": ["RectangleLabels"],
        "ocr-invoices-pre-ner-bio-format": ["RectangleLabels"],
        "optical-character-recognition": ["Labels", "Rectangle"],
        "pairwise-regression": ["Rating"],
        "visual-genome": ["RectangleLabels"] * 3,
        "visual-question-answering": ["Labels"] + ["TextArea"] * 4,
    }


def test_what_stays_empty_in_a_template_is_named_with_the_reason() -> None:
    left = Counter(
        (control.tag, entry.reason)
        for xml in TEMPLATES.values()
        if (config := parse_label_config(xml)).images
        for entry in make_form(config, frozenset()).unfilled
        for control in (*config.controls, *config.others)
        if control.name == entry.control
    )
    assert left == {
        ("TextArea", "it is filled in for every region, and the regions do not exist yet"): 2,
        ("PolygonLabels", "the judge fills no PolygonLabels controls"): 2,
        ("KeyPointLabels", "the judge fills no KeyPointLabels controls"): 1,
        ("BrushLabels", "the judge fills no BrushLabels controls"): 1,
        ("Polygon", "the judge fills no Polygon controls"): 1,
    }


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.stem)
def test_our_own_interfaces_give_valid_predictions(service: JudgeService, path: Path) -> None:
    xml = path.read_text(encoding="utf-8")
    judging, verdict = judged(service, xml)
    prediction = judging.prediction(verdict)
    assert prediction["result"]
    assert errors(xml, prediction) == []
    assert judging.form.unfilled == ()
