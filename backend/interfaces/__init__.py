"""Label configs and rubrics that come with the product."""

from pathlib import Path

LABEL_CONFIG = Path(__file__).parent / "image_text.xml"


def default_label_config() -> str:
    """The labeling interface of an image-text project."""
    return LABEL_CONFIG.read_text(encoding="utf-8")
