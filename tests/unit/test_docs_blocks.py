"""The runner of the pages' blocks notices what a reader would."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.docs_blocks import Block, Expected, PageError, Place, Reader, agree, read_blocks
from tests.docs_checks import check_block, check_runnable, commands_of

PAGE = """# A page

```sh
export WHO=you
```

<!-- check -->
```sh
docker compose up
```

!!! note

    <!-- exit 3 -->
    ```sh
    exit 3
    ```

```python
print(1)
```

```text
1
```

<!-- run
touch hidden
-->

1. In a list

    <!-- varies -->
    ```sh
    date
    ```

    ```text
    Fri
    ```
"""


def written(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text, encoding="utf-8")
    return page


def reader(folder: Path, text: str) -> Reader:
    place = folder / "place"
    place.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "LABEL_STUDIO_URL": "http://127.0.0.1:18080",
        "LABEL_STUDIO_API_KEY": "the key here",
        "HF_ENDPOINT": "http://127.0.0.1:18090",
    }
    return Reader(written(folder, text), Place(place, environment, projects_before=40, backend_port=19090))


def shell(*lines: str) -> str:
    return "".join(
        f"```{'text' if line.startswith('> ') else 'sh'}\n{line.removeprefix('> ')}\n```\n\n" for line in lines
    )


def run(folder: Path, text: str) -> list[str]:
    with reader(folder, text) as typing:
        return [typing.run(block) for block in read_blocks(typing.page)]


def test_blocks_are_found_with_the_comment_before_and_the_output_after_them(tmp_path: Path) -> None:
    assert read_blocks(written(tmp_path, PAGE)) == (
        Block("sh", "export WHO=you\n", 3),
        Block("sh", "docker compose up\n", 8, is_run=False),
        Block("sh", "exit 3\n", 15, status=3),
        Block("python", "print(1)\n", 19, expected=Expected("1\n", 23, 24, "")),
        Block("sh", "touch hidden\n", 27),
        Block("sh", "date\n", 34, varies=True, expected=Expected("Fri\n", 38, 39, "    ")),
    )


def test_a_block_that_would_be_missed_is_an_error(tmp_path: Path) -> None:
    page = written(tmp_path, "A line\n    ```sh\n    false\n    ```\n")
    with pytest.raises(PageError, match=r"page\.md: the blocks of lines \[2\] are not seen as blocks"):
        read_blocks(page)


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("24 tasks in 3.2 s (7.5 per s)", "70 tasks in 11 s (0.3 per s)", True),
        ("70 tasks, 0 failed", "70 tasks, 1 failed", False),
        ("70 tasks, 2 failed", "70 tasks, 0 failed", False),
        ("judged by demo-eabe8f2e61dc", "judged by demo-0123456789ab", True),
        ("at http://127.0.0.1:8080/projects/1/data", "at http://127.0.0.1:43211/projects/17/data", True),
        ("written to /home/you/out", "written to /tmp/x/out", True),
        ("written to out", "written to dataset", False),
        ("a     1\n---- ---", "a 23\n------ -------", True),
        ("first\n...\nlast", "first\n1\n2\nlast", True),
        ("first\n...\nlast", "first\nlast", True),
        ("first\n...\nlast", "first\n1\n2", False),
        ("a line", "a line\nand another", False),
    ],
)
def test_only_what_may_differ_may(shown: str, printed: str, same: bool) -> None:
    assert agree(shown, printed) is same


def test_what_is_exported_and_where_one_is_stays_from_block_to_block(tmp_path: Path) -> None:
    printed = run(
        tmp_path, shell("export WHO=you\nmkdir below\ncd below", 'echo "$WHO in $(basename "$PWD")"', "> you in below")
    )
    assert printed == ["", "you in below\n"]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("true", "echo so; false"), "line 5: the block ends with code 1, not 0"),
        (("cat none | sort",), "line 1: the block ends with code 1, not 0"),
        (("echo one", "> two"), "line 1: the block prints something else"),
    ],
)
def test_a_block_that_does_not_do_as_the_page_says_is_named(
    tmp_path: Path, lines: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(PageError, match=reason):
        run(tmp_path, shell(*lines))


def test_a_block_that_hangs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs_blocks.BLOCK_LIMIT_S", 0.2)
    with pytest.raises(PageError, match=r"line 1: the block is not done after 0\.2 s"):
        run(tmp_path, shell("sleep 60"))


def test_what_runs_in_the_background_is_stopped_at_the_end(tmp_path: Path) -> None:
    [printed] = run(tmp_path, shell("sleep 600 &\necho $!"))
    with pytest.raises(ProcessLookupError):
        os.kill(int(printed), 0)


def test_a_page_is_read_with_this_machines_addresses_and_written_with_its_readers(tmp_path: Path) -> None:
    place = reader(tmp_path, "").place
    line = (
        "export LABEL_STUDIO_API_KEY=... LABEL_STUDIO_URL=http://localhost:8080 # --project 2, /projects/2/, port 9090"
    )
    here = "LABEL_STUDIO_URL=http://127.0.0.1:18080 # --project 42, /projects/42/, port 19090"
    assert place.localised(line) == f"export LABEL_STUDIO_API_KEY=the key here {here}"
    assert place.as_read(here) == "LABEL_STUDIO_URL=http://127.0.0.1:8080 # --project 2, /projects/2/, port 9090"


def test_outputs_are_written_into_the_page_where_they_stood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPDATE_DOCS", "1")
    typing = reader(tmp_path, shell("echo one; echo two", "> old", "echo three", "> ...\nthree") + "The end.\n")
    blocks = read_blocks(typing.page)
    with typing:
        for block in blocks:
            typing.run(block)
    typing.update(blocks)
    assert (
        typing.page.read_text()
        == shell("echo one; echo two", "> one\ntwo", "echo three", "> ...\nthree") + "The end.\n"
    )


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("A=1 vlm-judge judge --project 1 > out 2>&1 &", [["vlm-judge", "judge", "--project", "1"]]),
        ("env $(cat .demo/env) .venv/bin/vlm-judge sweep", [["cat", ".demo/env"], ["vlm-judge", "sweep"]]),
        ("one a  # and why\ntwo | three \\\n  'b c'", [["one", "a"], ["two"], ["three", "b c"]]),
        ("cat > f <<'END'\nno command's\nEND\nfour", [["cat"], ["four"]]),
    ],
)
def test_commands_are_told_from_what_is_around_them(text: str, commands: list[list[str]]) -> None:
    assert list(commands_of(text)) == commands


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("vlm-judge jugde", "there is no command 'jugde'"),
        ("vlm-judge judge --projekt 1", "No such option"),
        ("VLM_JUDGE_MODELL=x vlm-judge judge --project 1", "there is no setting VLM_JUDGE_MODELL"),
        ("make tea", "the Makefile has no target tea"),
        ("pip install 'vlm-judge-label-studio[tea]'", "there is no extra tea"),
        ("docker compose -f compose.tea.yaml up", r"there is no compose\.tea\.yaml"),
        ("docker compose exec backend vlm-judge jugde", "there is no command 'jugde'"),
        ("python -m backend.tea", r"there is no module backend\.tea"),
    ],
)
def test_a_checked_block_that_names_what_is_not_there_is_an_error(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(PageError, match=reason):
        check_block(Block("sh", text, 7), tmp_path)


def test_a_checked_block_that_is_right_is_none(tmp_path: Path) -> None:
    lines = """
        export VLM_JUDGE_ENGINE=local
        pip install -e '.[demo,dev]' && make demo
        docker compose -f docker/compose.yaml up --detach
        vlm-judge project create --title "A title" --tasks none.json | tee log
    """
    check_block(Block("sh", lines, 1), tmp_path)


def test_a_block_that_no_test_can_run_has_to_be_marked(tmp_path: Path) -> None:
    with pytest.raises(PageError, match="line 7: a test cannot run 'docker'"):
        check_runnable(Block("sh", "docker ps", 7), tmp_path)
