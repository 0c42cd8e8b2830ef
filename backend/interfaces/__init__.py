"""Label configs and rubrics that come with the product."""

from pathlib import Path

from backend.errors import RubricError

LABEL_CONFIG = Path(__file__).parent / "image_text.xml"
_RUBRICS = Path(__file__).parent / "rubrics"


def default_label_config() -> str:
    """The labeling interface of an image-text project."""
    return LABEL_CONFIG.read_text(encoding="utf-8")


def rubric_names() -> tuple[str, ...]:
    """The names of the ready rubrics, such as `image-text` or `image-text.de`, in alphabetical order."""
    return tuple(sorted(path.name.removesuffix(".yaml") for path in _RUBRICS.glob("*.yaml")))


def rubric_file(name: str) -> Path:
    """The file of a ready rubric. Raises RubricError naming those that exist."""
    if name not in rubric_names():
        raise RubricError(f"there is no ready rubric {name}; there are {', '.join(rubric_names())}")
    return _RUBRICS / f"{name}.yaml"


def rubric_summary(name: str) -> str:
    """What a ready rubric is for: the comment in its first line."""
    return rubric_file(name).read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
