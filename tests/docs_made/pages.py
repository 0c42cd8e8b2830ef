"""The pages below docs/reference/, each with what makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.docs_made.command_line import command_line_page
from tests.docs_made.dataset_columns import dataset_columns_page
from tests.docs_made.http_api import http_api_page
from tests.docs_made.layers import layers_page
from tests.docs_made.rubric import rubric_page
from tests.docs_made.settings import settings_page

PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": command_line_page,
    "dataset-columns.md": dataset_columns_page,
    "http-api.md": http_api_page,
    "layers.md": layers_page,
    "rubric.md": rubric_page,
    "settings.md": settings_page,
}
