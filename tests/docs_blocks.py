"""Runs the shell and Python blocks of a documentation page as its reader would, and compares what they print.

A block is fenced as `sh` or `python`. What it prints is compared with the `text` block that directly follows, if one
does. A comment directly before a block says how to take it:

    <!-- check -->    do not run it, only check it (`tests/docs_checks.py`): a test machine has no such GPU, Docker, Hub
    <!-- exit 3 -->   it ends with this code
    <!-- varies -->   what it prints depends on a random draw: only its first word is compared

A comment that begins with `<!-- run` and ends with `-->`, each on a line of its own, holds shell lines that readers do
not see and the test runs: what a person does in the browser.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import httpx
from markdown_it import MarkdownIt
from markdown_it.token import Token

from backend.label_studio_server import HOST, free_port, stop_group

BLOCK_LIMIT_S = 240.0
BACKEND_LIMIT_S = 120.0
UPDATE = "UPDATE_DOCS"
"""The environment variable that has the real output written into the page."""
ANYTHING = "..."
"""A line of an expected output that stands for any number of lines."""

_FLAG = re.compile(r"<!-- (?:(?P<check>check)|(?P<varies>varies)|exit (?P<exit>\d+)) -->")
_HIDDEN = re.compile(r"<!-- run\n(.*)-->", re.DOTALL)
_FENCE = re.compile(r"\s*```(?:sh|python)\s*")
_SERVED = re.compile(r"vlm-judge serve\b[^&|;]*&\s*$", re.MULTILINE)
_PROJECT = re.compile(r"(?P<before>--project[ =]|/projects/|\bproject )(?P<number>\d+)\b")
_KEY = re.compile(r"(?<=LABEL_STUDIO_API_KEY=)\S+")
_STUDIO = re.compile(r"http://(?:127\.0\.0\.1|localhost):8080\b")
_BACKEND_PORT = re.compile(r"(?<![\w.])9090\b")

_STRETCH = re.compile(r"([ ─━-])[ ─━-]*")
_VARYING = re.compile(
    r"(?P<address>https?://[\w.-]+(?::\d+)?)"
    r"|(?P<path>(?<![\w.])/(?:[\w.@+-]+/)*[\w.@+-]+)"
    r"|(?P<id>\b(?:0x[0-9A-F]+|(?=[0-9a-f]*\d)[0-9a-f]{8,})\b)"
    r"|(?P<number>\d+(?:[.,:]\d+)*)"
)


class PageError(AssertionError):
    """A page says what is not so; the message names page and line."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The `text` block after a block."""

    text: str
    first: int
    """Index of its first line in the page's lines; `last` is the one after its last."""
    last: int
    indent: str


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a page."""

    language: Literal["sh", "python"]
    text: str
    line: int
    """Of its fence in the page, from 1."""
    is_run: bool = True
    status: int = 0
    """The code with which it ends."""
    varies: bool = False
    """Whether only the first word of what it prints can be expected."""
    expected: Expected | None = None

    def shows(self, printed: str) -> bool:
        """Whether the page shows what was printed, or has nothing that it should show."""
        if self.expected is None:
            return True
        if self.varies:
            return agree(*(" ".join(text.split()[:1]) for text in (self.expected.text, printed)))
        return agree(self.expected.text, printed)


def read_blocks(page: Path) -> tuple[Block, ...]:
    """The blocks of a page in order, those in admonitions and tabs too. Raises PageError where one would be missed."""
    text = page.read_text(encoding="utf-8")
    found = tuple(_blocks(_tokens(text), text.splitlines()))
    fences = {number for number, line in enumerate(text.splitlines(), 1) if _FENCE.fullmatch(line)}
    if missed := sorted(fences - {block.line for block in found}):
        raise PageError(f"{page}: the blocks of lines {missed} are not seen as blocks; look at how they are indented")
    return found


def _tokens(text: str, offset: int = 0) -> Iterator[tuple[Token, int]]:
    """Tokens, each with the index of its first line; indented code with fences in it is read as MkDocs does."""
    for token in MarkdownIt().parse(text):
        first = offset + (token.map[0] if token.map else 0)
        if token.type == "code_block" and "```" in token.content:
            yield from _tokens(textwrap.dedent(token.content), first)
        elif token.type in ("fence", "html_block") or token.level == 0:
            yield token, first


def _blocks(tokens: Iterator[tuple[Token, int]], lines: list[str]) -> Iterator[Block]:
    """Blocks with the comment before them and the output after them."""
    flags: Mapping[str, str | None] = {}
    waiting: Block | None = None
    for token, first in tokens:
        language = token.info.strip() if token.type == "fence" else ""
        if waiting:
            yield replace(waiting, expected=_expected(token, first, lines)) if language == "text" else waiting
            waiting = None
        if language in ("sh", "python"):
            waiting = _block("sh" if language == "sh" else "python", token.content, first + 1, flags)
        elif token.type == "html_block" and (hidden := _HIDDEN.match(token.content)):
            yield Block("sh", hidden[1], first + 1)
        flag = _FLAG.match(token.content.strip()) if token.type == "html_block" else None
        flags = flag.groupdict() if flag else {}
    if waiting:
        yield waiting


def _block(language: Literal["sh", "python"], text: str, line: int, flags: Mapping[str, str | None]) -> Block:
    status = int(flags.get("exit") or 0)
    return Block(language, text, line, not flags.get("check"), status, bool(flags.get("varies")))


def _expected(token: Token, first: int, lines: list[str]) -> Expected:
    indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
    return Expected(token.content, first + 1, first + 1 + token.content.count("\n"), indent)


def normal(text: str) -> str:
    """A text without what may differ from one run to the next.

    These tokens may: numbers (and so times, dates and shares), ids (eight or more hexadecimal digits), absolute paths,
    the host and port of addresses, and how much white space or how long a rule stands between words. A number that is 0
    may not become another, nor another 0: "0 failed" means something. Everything else has to be the same.
    """

    def stand_in(match: re.Match[str]) -> str:
        return "0" if match[0] == "0" else f"‹{match.lastgroup}›"

    lines = (_VARYING.sub(stand_in, line) for line in text.splitlines())
    return "\n".join(_STRETCH.sub(r"\1", line).strip() for line in lines).strip("\n") + "\n"


def agree(expected: str, printed: str) -> bool:
    """Whether a page shows what was printed; a line of three dots stands for any number of lines."""
    wanted = normal(expected).splitlines(keepends=True)
    pattern = "".join(r"(?:.*\n)*?" if line == f"{ANYTHING}\n" else re.escape(line) for line in wanted)
    return re.fullmatch(pattern, normal(printed)) is not None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page's blocks run: what stands for the reader's machine."""

    folder: Path
    environment: Mapping[str, str]
    """LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY among them."""
    projects_before: int = 0
    """The number of Label Studio's last project; the page's first is the next."""
    backend_port: int = field(default_factory=free_port)

    def localised(self, text: str) -> str:
        """A page's text with this machine's address, key, port and project numbers in the place of the reader's."""
        text = _STUDIO.sub(self.environment["LABEL_STUDIO_URL"], text)
        text = _KEY.sub(self.environment["LABEL_STUDIO_API_KEY"], text)
        text = _BACKEND_PORT.sub(str(self.backend_port), text)
        return self._renumbered(text, self.projects_before)

    def as_read(self, text: str) -> str:
        """What was printed here as the reader sees it."""
        text = self._renumbered(text, -self.projects_before)
        text = text.replace(self.environment["LABEL_STUDIO_URL"], f"http://{HOST}:8080")
        text = text.replace(str(self.backend_port), "9090")
        return text.replace(f"{self.folder}/", "").replace(self.environment["HF_ENDPOINT"], "https://huggingface.co")

    @staticmethod
    def _renumbered(text: str, by: int) -> str:
        return _PROJECT.sub(lambda match: f"{match['before']}{max(int(match['number']) + by, 0)}", text)


@dataclass(slots=True)
class Reader:
    """Who types a page's blocks, one after the other; what is exported and where one is stays from block to block."""

    page: Path
    place: Place
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    printed: dict[int, str] = field(default_factory=dict)
    """What the blocks printed that were run, by their line."""

    def __enter__(self) -> Reader:
        """Make the folder for what is kept between blocks."""
        self._kept.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop what was left running in the background."""
        for process in self.started:
            stop_group(process)

    def run(self, block: Block) -> str:
        """What the block prints on standard output. Raises PageError when it fails, hangs or prints something else."""
        out, err = self._kept / f"{block.line}.out", self._kept / f"{block.line}.err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                ["bash", self._script(block)],
                cwd=self.place.folder,
                env=dict(self.place.environment),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        self.started.append(process)
        try:
            status = process.wait(BLOCK_LIMIT_S)
        except subprocess.TimeoutExpired as exc:
            raise self._error(block, f"is not done after {BLOCK_LIMIT_S:g} s", out, err) from exc
        if status != block.status:
            raise self._error(block, f"ends with code {status}, not {block.status}", out, err)
        if _SERVED.search(block.text):
            self._wait_for_backend(block, out, err)
        self.printed[block.line] = out.read_text(encoding="utf-8", errors="replace")
        if not os.environ.get(UPDATE) and not block.shows(self.printed[block.line]):
            raise self._error(block, "prints something else", out, err)
        return self.printed[block.line]

    def update(self, blocks: tuple[Block, ...]) -> None:
        """Write what was printed into the page, where it shows output without a line of three dots."""
        lines = self.page.read_text(encoding="utf-8").splitlines()
        for block in reversed(blocks):
            shown = block.expected
            if shown is None or block.line not in self.printed or f"{ANYTHING}\n" in shown.text:
                continue
            real = self.place.as_read(self.printed[block.line]).rstrip().splitlines()
            lines[shown.first : shown.last] = [(shown.indent + line).rstrip() for line in real]
        self.page.write_text("\n".join(lines) + "\n", encoding="utf-8")

    @property
    def _kept(self) -> Path:
        return self.place.folder.parent / f"{self.place.folder.name}.kept"

    def _script(self, block: Block) -> Path:
        """A file with the block, between what brings the state back and what keeps it."""
        text = self.place.localised(block.text)
        if block.language == "python":
            code = self._kept / f"{block.line}.py"
            code.write_text(text, encoding="utf-8")
            text = f'"{sys.executable}" "{code}"\n'
        state, where = self._kept / "state", self._kept / "where"
        script = self._kept / f"{block.line}.sh"
        script.write_text(
            "set -euo pipefail\n"
            f'if [ -f "{state}" ]; then source "{state}"; cd "$(cat "{where}")"; fi\n'
            f"""trap 'status=$?; export -p > "{state}"; pwd > "{where}"; exit $status' EXIT\n"""
            f"{text}",
            encoding="utf-8",
        )
        return script

    def _wait_for_backend(self, block: Block, out: Path, err: Path) -> None:
        """A reader sees that the server is up before typing on."""
        address = f"http://{HOST}:{self.place.backend_port}/health"
        until = time.monotonic() + BACKEND_LIMIT_S
        while time.monotonic() < until:
            try:
                if httpx.get(address, trust_env=False).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise self._error(block, f"serves nothing at {address} within {BACKEND_LIMIT_S:g} s", out, err)

    def _error(self, block: Block, what: str, out: Path, err: Path) -> PageError:
        printed, complained = (path.read_text(encoding="utf-8", errors="replace") for path in (out, err))
        shown = f"--- it shows\n{block.expected.text}" if block.expected else ""
        return PageError(
            f"{self.page}, line {block.line}: the block {what}\n--- it is\n{block.text}{shown}"
            f"--- it prints\n{printed[-4000:]}--- and complains\n{complained[-4000:]}"
        )
