"""A hook of MkDocs: links from a page to the source code, which the site does not hold, become their names.

The same page on GitHub keeps its links. A target that does not exist is left for MkDocs to refuse.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Called by MkDocs with each page before it is rendered."""
    docs = Path(config.docs_dir).resolve()
    return names_for_sources(markdown, (docs / page.file.src_uri).parent, docs)


def names_for_sources(markdown: str, folder: Path, docs: Path) -> str:
    """The page, which lies in `folder`, with names in the place of links to what is no file below `docs`."""

    def put(link: re.Match[str]) -> str:
        text, target = link[1], (folder / link[2]).resolve()
        if not target.exists() or (target.is_file() and target.is_relative_to(docs)):
            return link[0]
        name = target.relative_to(docs.parent).as_posix()
        return f"`{name}`" if text.strip("`") in (link[2], name) else f"{text} (`{name}`)"

    return _LINK.sub(put, markdown)
