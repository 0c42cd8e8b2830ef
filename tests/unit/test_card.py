"""The dataset card: complete, valid, honest, the same for the same data, and safe whatever the data say."""

from __future__ import annotations

import io
import os
import random
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard
from markdown_it import MarkdownIt
from PIL import Image

from backend.annotated import AnnotatedTask, Annotation
from backend.core.label_config import parse_label_config
from backend.core.rubric import load_rubric
from backend.core.trust.labels import LabelledTask
from backend.interfaces import rubric_file
from backend.store import Store
from backend.trust.certifying import Terms, certify_project
from backend.trust.report.facts import Report, make_report
from exporters.card.metadata import languages, licence_of, size_category
from exporters.card.page import CardFacts, card
from exporters.card.plots import PlotFile, standalone, write_plots
from exporters.card.sheet import MAX_BYTES, MOST_ROWS, ContactSheet, Sheet, SheetRow
from exporters.card.sizes import SplitSize, sizes_of
from exporters.card.words import code, prose, spoken
from exporters.files.build import DatasetWriter
from exporters.files.card_parts import lost_by_merging, merged_card
from exporters.files.written import WrittenConfig, WrittenSplit
from exporters.records.record import JudgeDetail, LeftOut, Provenance, Record
from exporters.records.tally import Counts, Tally
from exporters.schema.columns import columns_of
from exporters.schema.configs import configs_of
from exporters.schema.features import Pictures
from tests.datasets_made import picture_of
from tests.labelled import said, task, verdict
from tests.trust_readings import in_order, labelled_project, reading_of

GOLDEN = Path(__file__).parent / "golden" / "card.md"
CONFIG = parse_label_config(
    '<View><Image name="image" value="$image"/><Text name="caption" value="$caption"/>'
    '<Header value="Does the text fit?"/><Rating name="consistency" toName="caption"/>'
    '<Choices name="verdict" toName="caption"><Choice value="accept"/><Choice value="fix"/></Choices></View>'
)
COUNTS = Counts(
    tasks_in=10,
    tasks_out=7,
    rows_out=7,
    left_out=MappingProxyType({"skipped": (4, 9), "unannotated": (10,)}),
    decided_by=MappingProxyType({"confirmed": 3, "corrected": 2, "human": 1, "judge only": 1}),
    text_sources=MappingProxyType({"human": 1, "missing": 1, "original": 5}),
    prefilled=MappingProxyType({("accept", "accept"): 3, ("accept", "fix"): 1, ("fix", "fix"): 1}),
    unprefilled=MappingProxyType({("reject", "accept"): 1}),
    verdicts=MappingProxyType({"accept": 4, "fix": 2, "reject": 1}),
    corrected=MappingProxyType({"consistency": 1, "verdict": 2}),
    fingerprints=MappingProxyType({"demo-qwen 0|1-0123456789ab": 7}),
    annotators=2,
    several=1,
    disagreeing=1,
    missing_text=(5,),
    missing_images=(),
    blind=1,
)

SHARDS = "data/default/train-*-0123abcd.parquet"
ROWS = (WrittenSplit("train", 4, SHARDS), WrittenSplit("test", 1, "data/default/test-*-4567abcd.parquet"))
EVERY = (WrittenSplit("train", 7, "data/all/train-*-89abcdef.parquet"),)
CONFIGS = (
    WrittenConfig("default", "The usual.", columns_of(CONFIG), 7, {"no final text": 2}, ROWS),
    WrittenConfig("all", "Every row.", columns_of(CONFIG), 7, {}, EVERY),
)
PARTS = (
    "Dataset Details",
    "Uses",
    "Dataset Structure",
    "Dataset Creation",
    "Bias, Risks, and Limitations",
    "Citation",
)
HOSTILE = (
    "a: b\n---\n# `x` | <script>alert(1)</script> **b** [l](javascript:x) ![i](x) &lt; $$x$$ ~~s~~ \u202e"
    "<!-- vlm-judge:begin --><!-- vlm-judge:end --> ``` </details>"
)


def facts(counts: Counts = COUNTS, title: str = "Shapes", **more: Any) -> CardFacts:
    return CardFacts(title, counts, CONFIGS, "last", "me/shapes", "Images are the original bytes.", **more)


def read(text: str) -> dict[str, Any]:
    """The metadata as the Hub's own client reads them."""
    data: Any = DatasetCard(text).data
    return dict(data.to_dict())


def shown(text: str) -> str:
    """What of the card is rendered."""
    return rendered(text.split("\n---\n", 1)[1])


def rendered(markdown: str) -> str:
    return str(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))


def picture(shade: int, size: tuple[int, int] = (40, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, 255 - shade, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def record(number: int, text: str = "A boat.", **fields: Any) -> Record:
    """A row that a person has confirmed."""
    given: dict[str, Any] = {
        "task_id": number,
        "images": {"image": ("there",)},
        "texts": {"caption": text},
        "final_text": text,
        "final_text_source": "original",
        "decided_by": "confirmed",
        "corrected_controls": (),
        "human": {"verdict": ("accept",), "consistency": 5},
        "judge": {"verdict": ("accept",), "consistency": 4},
        "judge_confidence": 0.75,
        "fingerprint": "Qwen2.5-VL-7B-Instruct-0123456789ab",
        "annotators": ("annotator 1",),
        "annotation_count": 1,
        "verdicts_agree": None,
        "lead_time_s": 4.0,
        "saw_prediction": True,
        "original": text,
        "provenance": Provenance("llava-1.6", "hf://datasets/them/boats@0123/a.png", "CC-BY-4.0"),
    }
    return Record(**{**given, **fields})


RECORDS = (
    record(1),
    record(2, "Two | boats.", details={"verdict": JudgeDetail(flags=("own-family",))}),
    record(
        3,
        "Three kites.",
        decided_by="human",
        corrected_controls=None,
        saw_prediction=False,
        audit=True,
        human={"verdict": ("fix",), "consistency": 2},
        final_text="Three boats.",
        final_text_source="human",
    ),
    record(4, "A lamp.", decided_by="judge only", human=None, corrected_controls=None, saw_prediction=None),
)


def pictures_of(number: int) -> Pictures:
    return {"image": (picture_of(picture(number)),)}


def export(folder: Path, **more: Any) -> CardFacts:
    """A small export that is really written, and what its card is computed from."""
    tally, sheet = Tally(), ContactSheet()
    with DatasetWriter(folder, configs_of(CONFIG), ("train", "test")) as writer:
        for one in RECORDS:
            when = datetime(2024, 5, one.task_id, tzinfo=UTC)
            annotation = Annotation(one.task_id, (), False, 1, 1, 4.0, when, None, None, False)
            tally.see(AnnotatedTask(one.task_id, {"language": "en-GB"}, (annotation,), ()))
            tally.add((one,))
            sheet.add(one, pictures_of(one.task_id))
            writer.add(one, pictures_of(one.task_id), "test" if one.task_id == 4 else "train")
        tally.add(LeftOut(5, "skipped"))
    written = tuple(config for config in writer.written if config.splits)
    return CardFacts(
        "Boats and kites",
        tally.counts(),
        written,
        "last",
        "me/boats",
        "Images are the original bytes.",
        form=CONFIG,
        sizes=sizes_of(folder, written),
        sheet=sheet.write(folder),
        **more,
    )


def measured(store: Store, labels: int = 90, people: int = 2, *, certified: bool = True) -> Report:
    """What is measured of 200 tasks, a blind slice of which is labelled; the judge is wrong where the text is long."""
    order = in_order(range(1, 201))
    blind = set(order[:labels])

    def made(number: int) -> LabelledTask:
        is_bad = number % 40 == 7
        decision = "reject" if number % 4 == 1 else "accept"
        truth = {"accept": "reject", "reject": "accept"}[decision] if is_bad else decision
        judge = verdict(decision, 0.55 if is_bad else 0.75 + number / 1_000)
        says = (said(f"annotator {who}", verdict=truth, seconds=9.0) for who in range(1, people + 1))
        saw = (said("annotator 1", saw=True, verdict=decision, seconds=3.0),) if number % 10 == 0 else ()
        one = task(number, judge, *(says if number in blind else saw))
        data = {
            **one.data,
            "caption": "A boat. " * (1 + number % 5),
            "generator": ("llava", "`x` | <b>")[number % 2],
            "customer": ("Ann Smith", "Bob Jones", "Eve Day")[number % 3],
        }
        return replace(one, data=data)

    reading = reading_of(labelled_project(map(made, range(1, 201)), fingerprint="demo-qwen 0|1-0123456789ab"))
    if certified:
        certify_project(reading, store, Terms(0.1))
    return make_report(reading, store)


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return measured(Store(tmp_path_factory.mktemp("trust") / "store.db"))


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return measured(Store(tmp_path_factory.mktemp("none") / "store.db"), labels=0, certified=False)


@pytest.fixture(scope="module")
def full(trust: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A card with everything."""
    folder = tmp_path_factory.mktemp("full")
    return card(facts(trust=trust, plots=write_plots(folder, trust), form=CONFIG))


def test_the_card_of_a_small_export_is_what_it_was(tmp_path: Path) -> None:
    """Marks and sizes of files are left out: they change with the version of the library that writes them."""
    made = export(tmp_path)
    text = re.sub(r"-[0-9a-f]{8}\.parquet", "-MARK.parquet", card(made))
    text = re.sub(r"(num_bytes|download_size|dataset_size): [1-9]\d+", r"\1: SOME", text)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert GOLDEN.read_text(encoding="utf-8") == text, "run UPDATE_GOLDEN=1 pytest on this file and read the difference"


def test_the_same_data_give_the_same_files(tmp_path: Path, trust: Report) -> None:
    folders = (tmp_path / "a", tmp_path / "b")
    cards = []
    for folder in folders:
        plots = write_plots(folder, trust)
        cards.append(card(replace(export(folder), plots=plots, trust=replace(trust, made_at=datetime.now(UTC)))))
    assert cards[0] == cards[1]
    files = [{one.name: one.read_bytes() for one in (folder / "plots").iterdir()} for folder in folders]
    assert files[0] == files[1]
    assert sorted(files[0]) == ["agreement.svg", "reliability.svg", "risk.svg", "rows.jpg"]


def test_what_the_metadata_promise_is_what_is_loaded(tmp_path: Path) -> None:
    """`load_dataset` holds rows and features against `dataset_info`, and fails where they differ."""
    from datasets import get_dataset_config_names, load_dataset

    made = export(tmp_path / "boats")
    (tmp_path / "boats" / "README.md").write_text(card(made), encoding="utf-8")
    folder, cache = str(tmp_path / "boats"), str(tmp_path / "cache")
    assert get_dataset_config_names(folder) == [config.name for config in made.configs]
    for config in made.configs:
        loaded = load_dataset(folder, config.name, cache_dir=cache)
        assert {name: rows.num_rows for name, rows in loaded.items()} == {one.name: one.rows for one in config.splits}
        assert list(loaded["train"].features) == [column.name for column in config.columns]
    infos = {one["config_name"]: one for one in read(card(made))["dataset_info"]}
    files = sum(path.stat().st_size for path in (tmp_path / "boats" / "data" / "all").iterdir())
    assert infos["all"]["download_size"] == files
    assert [one["num_examples"] for one in infos["all"]["splits"]] == [3, 1]
    assert infos["all"]["dataset_size"] == sum(one["num_bytes"] for one in infos["all"]["splits"]) > 0


def test_the_metadata_are_valid() -> None:
    assert read(card(facts())) == {
        "pretty_name": "Shapes",
        "annotations_creators": ["machine-generated", "other"],
        "task_categories": ["image-to-text", "image-text-to-text"],
        "tags": ["image-text", "label-studio", "vlm-judge", "human-feedback"],
        "size_categories": ["n<1K"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": SHARDS},
                    {"split": "test", "path": "data/default/test-*-4567abcd.parquet"},
                ],
                "default": True,
            },
            {"config_name": "all", "data_files": [{"split": "train", "path": "data/all/train-*-89abcdef.parquet"}]},
        ],
    }


def test_what_the_data_say_of_themselves_is_in_the_metadata(tmp_path: Path) -> None:
    data = read(card(export(tmp_path)))
    names = ("language", "license", "source_datasets", "annotations_creators", "tags")
    assert {name: data[name] for name in names} == {
        "language": ["en"],
        "license": "cc-by-4.0",
        "source_datasets": ["them/boats"],
        "annotations_creators": ["machine-generated", "other"],
        "tags": ["image-text", "label-studio", "vlm-judge", "human-feedback", "preference", "trl"],
    }


def test_a_single_config_has_its_dataset_info_in_a_list() -> None:
    sizes = {("all", "train"): SplitSize(900, 500)}
    data = read(card(replace(facts(sizes=sizes), configs=CONFIGS[1:])))
    [info] = data["dataset_info"]
    assert (info["config_name"], info["dataset_size"], info["download_size"]) == ("all", 900, 500)
    assert info["splits"] == [{"name": "train", "num_bytes": 900, "num_examples": 7}]
    assert info["features"][:2] == [{"name": "image", "dtype": "image"}, {"name": "image_sha256", "dtype": "string"}]


@pytest.mark.parametrize(
    ("counts", "said_licence", "metadata", "line"),
    [
        ({}, None, {}, "Not known: the data name none. Ask whoever published the images before using them."),
        ({"licences": {"MIT": 7}}, None, {"license": "mit"}, "`MIT`, as every row says."),
        (
            {"licences": {"MIT": 6}},
            None,
            {},
            "Not the same for all rows, see the column `licence`: `MIT` (6 rows); 1 rows name none.",
        ),
        (
            {"licences": {"MIT": 3, "cc0-1.0": 4}},
            None,
            {},
            "Not the same for all rows, see the column `licence`: `cc0-1.0` (4 rows), `MIT` (3 rows).",
        ),
        ({"licences": {"Our Own": 7}}, None, {"license": "other", "license_name": "our-own"}, "`Our Own`, as every"),
        ({"licences": {"Llama3.3": 7}}, None, {"license": "llama3.3"}, "`Llama3.3`, as every row says."),
        ({"licences": {"#": 7}}, None, {"license": "other", "license_name": "#"}, "`#`, as every row says."),
        ({"licences": {"MIT": 3}}, "cc-by-4.0", {"license": "cc-by-4.0"}, "`cc-by-4.0`."),
        (
            {"licences": {"https://creativecommons.org/licenses/by/4.0/": 7}},
            None,
            {
                "license": "other",
                "license_name": "creativecommons.org-licenses-by-4.0",
                "license_link": "https://creativecommons.org/licenses/by/4.0/",
            },
            "`https://creativecommons.org/licenses/by/4.0/`, as every row says.",
        ),
        (
            {},
            "https://www.example.org/a/very/long/way/to/the/terms?version=3",
            {
                "license": "other",
                "license_name": "example.org-a-very-long-way-to-the-terms",
                "license_link": "https://www.example.org/a/very/long/way/to/the/terms?version=3",
            },
            "`https://www.example.org/a/very/long/way/to/the/terms?version=3`.",
        ),
    ],
)
def test_a_licence_is_named_only_where_it_is_known(
    counts: dict[str, Any], said_licence: str | None, metadata: dict[str, str], line: str
) -> None:
    text = card(facts(replace(COUNTS, **counts), licence=said_licence))
    assert {name: value for name, value in read(text).items() if name.startswith("license")} == metadata
    assert f"- **Licence:** {line}" in text


@pytest.mark.parametrize(
    ("said_languages", "codes"),
    [
        ({"en": 3, "de-AT": 1, "PT_br": 1}, ("de", "en", "pt")),
        ({"gsw": 1}, ("gsw",)),
        ({"English": 4, "xx": 1, "": 1}, ()),
    ],
)
def test_languages_are_codes_or_left_out(said_languages: dict[str, int], codes: tuple[str, ...]) -> None:
    counts = replace(COUNTS, languages=said_languages)
    assert languages(counts) == codes
    assert read(card(facts(counts))).get("language", []) == list(codes)


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1_000, "1K<n<10K"),
        (99_999, "10K<n<100K"),
        (10**9 - 1, "100M<n<1B"),
        (10**9, "n>1B"),
    ],
)
def test_size_categories_are_the_hubs(rows: int, name: str) -> None:
    assert size_category(rows) == name


def test_the_tally_knows_where_rows_come_from() -> None:
    tally = Tally()
    for one in RECORDS:
        tally.see(AnnotatedTask(one.task_id, {"lang": " de ", "language": None}, (), ()))
        tally.add((one,))
    tally.see(AnnotatedTask(9, {"language": "fr"}, (), ()))
    tally.add(LeftOut(9, "skipped"))
    counts = tally.counts()
    assert (counts.seen, counts.blind, counts.audit, dict(counts.flags)) == (3, 1, 1, {"own-family": 1})
    assert dict(counts.generators) == {"llava-1.6": 4}
    assert dict(counts.licences) == {"CC-BY-4.0": 4}
    assert dict(counts.sources) == {"them/boats": 4}
    assert dict(counts.languages) == {"de": 4}
    assert (counts.newest, licence_of(counts)) == (None, "CC-BY-4.0")


def test_all_parts_of_the_hubs_template_are_there(full: str) -> None:
    for text in (full, card(facts())):
        assert tuple(re.findall(r"^## (.+)$", text, re.MULTILINE)) == PARTS


@pytest.mark.parametrize(
    "passage",
    [
        "\n7 rows: images with a text about each, judged by `demo-qwen 0\\|1` and reviewed by 2 people in Label "
        "Studio. Each row says",
        "\n- **People decided 6 of 7 rows**, 1 of them without seeing the judge's answer.\n",
        "\n10 tasks = 7 rows + 2 left out (skipped) + 1 left out (unannotated).\n",
        '\nrows = load_dataset("me/shapes", split="train")\n',
        "\n| `default` | The usual. | 7 rows = 4 train + 1 test + 2 left out (no final text) | "
        '`load_dataset("me/shapes", split="train")` |\n',
        '\n| `all` | Every row. | 7 rows = 7 train | `load_dataset("me/shapes", "all", split="train")` |\n',
        "\n`all` has the columns of `default`.\n",
        "\nSplits follow from the content of the images: no image is in two of them.\n",
        "\nImages are the original bytes.\n",
        "\n| `corrected` | a person changed the judge's answer | 2 |\n",
        "\n| person \\ judge | accept | fix |\n|---|---:|---:|\n| accept | 3 | 1 |\n| fix | 0 | 1 |\n\n"
        "The same verdict in 4 of 5 rows. **This agreement is anchored, not measured blind**",
        "\n| person \\ judge | accept |\n|---|---:|\n| reject | 1 |\n\nThe same verdict in 0 of 1 rows.",
        "\n`demo-qwen 0\\|1` judged 7 rows as `demo-qwen 0\\|1-0123456789ab`",
        "\n- The embedded demo judge knows only drawn scenes of coloured shapes and a word.",
        "\n| `verdict` | 2 |\n| `consistency` | 1 |\n",
        "\n| `human_consistency` | int8 | The person's stars from 1 to 5 for `consistency`. |\n",
        "1 rows have more than one annotation (1 of them with different verdicts); the policy for these is `last`.",
        "\n| `missing` | null: nobody has written the fix, the judge alone gave no verdict, or there is no (preferred) "
        "text | 1 |\n",
        "and where neither a person decided nor the judge gave a verdict.\n",
        "\n- **1 of 7 rows were seen by no person** (`decided_by` = `judge only`).\n",
        "How often the judge is right was not measured for this dataset.",
        "\n@misc{shapes,\n  author = {{me}},\n  title = {{Shapes}},\n"
        "  howpublished = {\\url{https://huggingface.co/datasets/me/shapes}},\n",
    ],
)
def test_it_says(passage: str) -> None:
    assert passage in card(facts())


@pytest.mark.parametrize(
    ("fields", "passage"),
    [
        ({"fingerprints": {"Qwen/Qwen2.5-VL-7B-Instruct": 7}}, "embedded demo judge"),
        ({"fingerprints": {}}, "judged by"),
        ({"prefilled": {}}, "anchored"),
        ({"left_out": {}}, "| left out because |"),
        ({"corrected": {}}, "what people changed"),
        ({"several": 0}, "more than one annotation"),
        ({"decided_by": {"confirmed": 7}}, "seen by no person"),
    ],
)
def test_it_does_not_say_what_does_not_hold(fields: dict[str, Any], passage: str) -> None:
    assert passage in card(facts())
    assert passage not in card(facts(replace(COUNTS, **fields)))


def test_at_most_eight_of_what_the_data_say_are_named() -> None:
    many = {f"x{number}": 100 - number for number in range(11)}
    text = card(facts(replace(COUNTS, licences=many, generators=many, sources=many, languages=many)))
    rows = ", ".join(f"`x{number}` ({100 - number} rows)" for number in range(8)) + " and 3 more"
    assert f"see the column `licence`: {rows}" in text
    assert f"- **Texts written by:** {rows}.\n" in text
    assert f"- **Images from:** {rows}.\n" in text
    assert f"- **Languages:** {rows.replace(' rows', ' tasks')}" in text


def test_people_whose_accounts_were_deleted_have_reviewed_it_all_the_same() -> None:
    text = card(facts(replace(COUNTS, annotators=0)))
    assert "and reviewed by people in Label Studio. Each row says" in text
    assert "No person has reviewed them" not in text


def test_a_batch_was_seen_by_nobody() -> None:
    counts = replace(COUNTS, decided_by={"judge only": 7}, annotators=0, several=0, disagreeing=0)
    text = card(facts(counts))
    assert "judged by `demo-qwen 0\\|1`. No person has reviewed them.\n" in text
    assert "\n- **People decided 0 of 7 rows**.\n" in text
    assert "under a pseudonym" not in text
    assert read(text)["annotations_creators"] == ["machine-generated"]
    assert "human-feedback" not in read(text)["tags"]


def test_missing_images_are_told() -> None:
    counts = replace(COUNTS, missing_images=(1, 2))
    assert "\n- 2 tasks have a null image: it could not be read" in card(facts(counts))


def test_the_citation_has_no_address_of_a_folder_and_the_year_of_the_newest_answer() -> None:
    counts = replace(COUNTS, newest=datetime(2024, 12, 31, tzinfo=UTC))
    text = card(replace(facts(counts, title="50% {x} & \\y"), load_from="./shapes"))
    assert text.endswith(
        "```bibtex\n@misc{50-x-y,\n  title = {{50 x y}},\n  year = {2024},\n"
        "  note = {Exported from Label Studio with VLM Judge},\n}\n```\n"
    )


def test_criteria_come_with_their_questions() -> None:
    """From the form; or from the rubric where it is known."""
    assert (
        "\n| criterion | question | scale |\n|---|---|---|\n| `consistency` | Does the text fit? | 1 to 5 |\n"
        "| `verdict` | – | accept, fix |\n"
    ) in card(facts(form=CONFIG))
    rubric = load_rubric(rubric_file("image-text"))
    [criterion] = [one for one in rubric.criteria if one.id == "consistency"]
    asked = card(facts(form=CONFIG, rubric=rubric)).partition("| criterion | question | scale |")[2]
    row = next(line for line in asked.splitlines() if line.startswith("| `consistency` |"))
    assert prose(criterion.question) in row
    assert prose("; ".join(f"{one.value} = {one.means}" for one in criterion.levels)) in row


def test_what_was_measured_is_told_with_its_intervals(full: str, trust: Report) -> None:
    """Of 90 blind labels those of tasks 7, 47, 87, 127 and 167 say that the judge is wrong."""
    wrong = len({7, 47, 87, 127, 167} & set(in_order(range(1, 201))[:90]))
    assert f"demo-qwen 0\\|1-0123456789ab`, {trust.counts.labelled} labelled by 2 people, 90 of these without" in full
    [row] = re.findall(r"^\| `verdict` \| 90 \| (\d+) % \((\d+) to (\d+) %\) \|", full, re.MULTILINE)
    assert int(row[0]) == round(100 * (90 - wrong) / 90)
    assert int(row[1]) <= int(row[0]) <= int(row[2])
    assert "| 100 % (" in full  # both people say the same everywhere
    [short] = re.findall(r"^- \*\*Judge and people agree on (.+?)\*\* of 90 tasks", full, re.MULTILINE)
    assert short == f"{row[0]} % ({row[1]} to {row[2]} %)"
    assert "of the project's samples are good, by prediction-powered inference (PPI++): 90 blind labels" in full
    assert "`judge_confidence` is off by" in full
    assert "was not measured for this dataset" not in full


def test_a_certificate_is_told_only_while_it_holds(full: str, trust: Report) -> None:
    assert trust.standing.certificates
    [claim] = re.findall(r"^- \*\*Certified\*\*: (.*)\.$", full, re.MULTILINE)
    assert re.fullmatch(
        r"Of the tasks with a confidence of 0\.\d+ or more at most 10 % are wrong, with 95 % confidence", claim
    )
    assert f"### Certificate\n\n- **{claim}.** " in full
    void = replace(trust, standing=replace(trust.standing, void="the data have changed: `caption` <b>"))
    text = card(facts(trust=void))
    assert "\n### Certificate\n\nNo certificate holds: the data have changed: `caption` &lt;b\\>.\n" in text
    assert claim not in text
    never = card(facts(trust=replace(trust, standing=replace(trust.standing, certificates={}))))
    assert "ertifi" not in never.replace("taken by a certificate", "").replace("by a certificate)", "")


def test_what_is_not_measured_is_said_with_its_remedy(unlabelled: Report) -> None:
    text = card(facts(trust=unlabelled))
    assert (
        "Agreement with people was not measured: there are no blind labels. `vlm-judge project create --audit" in text
    )
    assert "Whether people move towards an answer that they are shown was not measured:" in text
    assert "What the judge's confidence is worth was not measured:" in text
    assert "The share of good samples was not measured:" in text
    assert "Judge and people agree" not in text
    assert write_plots(Path("nowhere"), None) == ()


def test_groups_by_fields_that_are_not_in_the_dataset_are_not_named(full: str, trust: Report) -> None:
    assert {field.field for field in trust.groups.fields} == {"customer", "generator"}
    assert "\n| `generator` | llava | 100 |" in full
    assert "\n| `generator` | \\`x\\` \\| &lt;b\\> | 100 |" in full
    assert "Compared by 1 further field of the tasks' data that are not part of this dataset: none differ." in full
    assert not any(name in full for name in ("customer", "Ann Smith", "Bob Jones"))


def test_answers_of_another_judge_than_the_measured_one_are_told(trust: Report) -> None:
    counts = replace(COUNTS, fingerprints={**COUNTS.fingerprints, "other-1": 2})
    text = card(facts(counts, trust=trust))
    assert "\n- What was measured is about `demo-qwen 0\\|1-0123456789ab`; 2 rows are by another judge.\n" in text


def cards(trust: Report) -> Iterator[str]:
    hostile = replace(
        COUNTS,
        fingerprints={HOSTILE: 7},
        verdicts={HOSTILE: 7},
        corrected={HOSTILE: 1},
        prefilled={(HOSTILE, HOSTILE): 7},
        licences={HOSTILE: 7},
        generators={HOSTILE: 7},
        languages={HOSTILE: 7},
        sources={},
    )
    sheet = Sheet((SheetRow((("caption", HOSTILE), (HOSTILE, HOSTILE)), HOSTILE, "human"),))
    plots = (PlotFile("agreement", "plots/agreement.svg", HOSTILE, HOSTILE),)
    yield card(facts(hostile, HOSTILE, sheet=sheet, trust=trust, plots=plots, form=CONFIG))
    yield card(facts(title=HOSTILE))


def test_hostile_texts_are_only_text(trust: Report) -> None:
    for text in cards(trust):
        data = yaml.safe_load(text.split("---\n")[1])
        assert data["pretty_name"] == " ".join(HOSTILE.replace("\u202e", "").split())
        body = text.split("\n---\n", 1)[1]
        assert tuple(re.findall(r"^## (.+)$", body, re.MULTILINE)) == PARTS
        html = shown(text)
        assert [one for one in re.findall(r"<h1>(.*?)</h1>", html) if "alert(1)" in one]
        assert not re.search(r"<script|<!--|javascript:x\"|<b>|<s>|src=\"x\"", html)
        assert (html.count("<details>"), html.count("</details>")) == (1, 1)
        assert len(re.findall(r"<h1>", html)) == 1
        widths = [len(re.findall(r"<t[dh]", row)) for row in re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)]
        assert 0 not in widths


def test_hostile_texts_cannot_pass_for_our_marks(trust: Report) -> None:
    for text in cards(trust):
        merged = merged_card(text, None)
        body = merged.split("\n---\n", 1)[1]
        assert (body.count("<!-- vlm-judge:begin"), body.count("<!-- vlm-judge:end -->")) == (1, 1)
        assert lost_by_merging(text, merged) is None
        assert merged_card(text, merged) == merged


@pytest.mark.parametrize("text", [HOSTILE, "", "plain", "a\\|b", "x" * 50 + "|", "*", "<", "\ud800|\x00", "1 < 2 & 3"])
def test_words_stay_in_their_cell(text: str) -> None:
    for made in (prose(text), code(text), spoken(text)):
        html = (
            MarkdownIt("commonmark", {"html": True}).enable("table").render(f"| a | b |\n|---|---|\n| {made} | end |\n")
        )
        [cells] = re.findall(r"<tbody>\s*<tr>(.*?)</tr>", html, re.DOTALL)
        assert len(re.findall("<td>", cells)) == 2
        assert cells.rstrip().endswith("<td>end</td>")


def test_nothing_is_left_to_fill_in(full: str, tmp_path: Path) -> None:
    for text in (full, card(facts()), card(export(tmp_path))):
        marks = (r"\{\{ ", "{%", "More Information Needed", r"\bTODO\b", r"\bNone\b(?! of)", r"\bnan\b", "\n\n\n")
        assert [mark for mark in marks if re.search(mark, text)] == []


def test_the_sheet_shows_the_first_different_images(tmp_path: Path) -> None:
    """Rows 1 and 2 have one image; each image has its colour in the middle of its cell."""
    sheet = ContactSheet()
    for number, shade in enumerate((10, 10, 60, *range(100, 200, 10)), start=1):
        sheet.add(record(number, f"text {number}"), {"image": (None, picture_of(picture(shade)))})
    made = sheet.write(tmp_path)
    assert made is not None
    assert [row.texts for row in made.rows] == [(("caption", f"text {n}"),) for n in (1, 3, 4, 5, 6, 7, 8, 9)]
    assert len(made.rows) == MOST_ROWS
    with Image.open(tmp_path / made.path) as image:
        assert image.size == (4 * 248 + 8, 2 * 188 + 8)
        for place, shade in enumerate((10, 60, 100, 110, 120, 130, 140, 150)):
            found = image.getpixel((8 + place % 4 * 248 + 120, 8 + place // 4 * 188 + 90))
            assert isinstance(found, tuple)
            assert all(abs(one - other) <= 6 for one, other in zip(found, (shade, 255 - shade, 90), strict=True))
    text = card(facts(sheet=made))
    assert "](plots/rows.jpg)\n\n| no. | text before the review | verdict | decided by |\n" in text
    assert "\n| 1 | text 1 | accept | `confirmed` |\n| 2 | text 3 | accept |" in text


def test_the_sheet_of_noise_keeps_its_size(tmp_path: Path) -> None:
    sheet, rng = ContactSheet(), random.Random(1)
    for number in range(1, MOST_ROWS + 1):
        noise = Image.frombytes("RGB", (480, 360), rng.randbytes(480 * 360 * 3))
        buffer = io.BytesIO()
        noise.save(buffer, "PNG")
        sheet.add(record(number), {"image": (picture_of(buffer.getvalue()),)})
    made = sheet.write(tmp_path)
    assert made is not None
    assert (tmp_path / made.path).stat().st_size <= MAX_BYTES


def test_without_an_image_there_is_no_sheet(tmp_path: Path) -> None:
    sheet = ContactSheet()
    sheet.add(record(1), {"image": (None,)})
    assert sheet.write(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    assert "rows.jpg" not in card(facts())


def test_plots_need_nothing_around_them(tmp_path: Path, trust: Report) -> None:
    written = write_plots(tmp_path, trust)
    assert [one.path for one in written] == ["plots/agreement.svg", "plots/risk.svg", "plots/reliability.svg"]
    for one in written:
        text = (tmp_path / one.path).read_text(encoding="utf-8")
        assert not re.search(r"var\(|class=|<style|url\(|href|<script", text)
        root = ElementTree.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        first = root[2]
        assert (first.tag, first.get("fill")) == ("{http://www.w3.org/2000/svg}rect", "#ffffff")
        drawn = [element for element in root.iter() if element.tag.endswith(("line", "circle", "polyline"))]
        assert drawn
        assert all(re.search(r"(stroke|fill): #[0-9a-f]{6}", element.get("style", "")) for element in drawn)
        assert one.alt.startswith(root[0].text or "?")


def test_a_drawing_is_coloured_as_on_the_page_by_day() -> None:
    """`.whisker.s1` names two classes and wins over `.whisker`; `--c` of `.s1` is `--s1`, #b84a00 by day."""
    drawing = (
        '<svg width="10" height="5" viewBox="0 0 10 5"><title>t</title><desc>d</desc><line class="whisker s1"/></svg>'
    )
    root = ElementTree.fromstring(standalone(drawing))
    assert root.get("viewBox") == "-14 -14 38 33"
    assert root[3].get("style") == "stroke: #b84a00; stroke-width: 2.25; stroke-dasharray: 5 2.5"
    assert (root.get("style") or "").endswith("font-size: 13px; fill: #1d1c1a")
