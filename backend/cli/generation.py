"""`generate`: candidate texts for base images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backend.cli.command import DONE, FAILED, Result
from backend.cli.root import engine_options, load_settings, main
from backend.progress import note, progress_bar

if TYPE_CHECKING:
    from backend.generation.run import GenerationRun


@main.command()
@click.argument("images")
@click.option(
    "--kind",
    type=click.Choice(["caption", "vqa", "ocr"]),
    default="caption",
    show_default=True,
    help="What is written: a caption, a question with its answer, or a transcription.",
)
@click.option(
    "--candidates",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Texts per image, generator and style: the likeliest, and then sampled ones.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The tasks, as JSON lines; manifest.jsonl and images/ are put beside it.",
)
@click.option(
    "--generator",
    "generators",
    multiple=True,
    metavar="MODEL",
    help="Model id or folder that writes; may be repeated.  [default: the one of --engine and --model]",
)
@click.option(
    "--style",
    "style_names",
    multiple=True,
    help="plain, short, detailed, simple, formal, or one of --styles; may be repeated.  [default: plain]",
)
@click.option(
    "--styles",
    "styles_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Styles of your own: YAML, a `name: text` each; the text is put before the request.",
)
@click.option("--requested", default="", help="Features asked for, comma separated; goes into every task.")
@click.option(
    "--temperature",
    type=click.FloatRange(min=0, min_open=True),
    default=0.8,
    show_default=True,
    help="How far the sampled texts stray from the likeliest one.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sampled texts.")
@click.option("--limit", type=click.IntRange(min=1), help="Use at most this many images.")
@click.option("--image-column", help="Column of the images or addresses.  [default: the usual one]")
@click.option("--split", default="train", show_default=True, help="Part of a Hugging Face dataset.")
@click.option("--licence", default="", help="Licence of images that come with none.")
@click.option("--licence-column", help="Column of each image's licence.  [default: licence or license]")
@click.option(
    "--image-distance",
    type=click.IntRange(0, 64),
    default=3,
    show_default=True,
    help="Images whose perceptual hashes differ in at most so many of 64 bits are duplicates.",
)
@click.option(
    "--text-ratio",
    type=click.FloatRange(0, 100),
    default=97,
    show_default=True,
    help="Texts of an image that are alike by at least so many percent are duplicates.",
)
@click.option("--keep-addresses", is_flag=True, help="Tasks show web images from their address, not from our copy.")
@click.option(
    "--document-root",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT",
    help="Folder that Label Studio serves files from; --out lies below it.  [default: the folder of --out]",
)
@engine_options
def generate(images: str, generators: tuple[str, ...], **options: Any) -> Result:
    """Have models write captions, questions or transcriptions for IMAGES, as tasks to be judged.

    IMAGES is a folder, a list of addresses (text, CSV or JSON lines), or a Hugging Face dataset (folder, parquet file
    or name). Images that are there twice and texts that say the same are dropped and counted. Can be stopped and
    started again at any time. Ends with exit code 1 when images could not be used or texts were not written.

    Example: vlm-judge generate photos --kind caption --candidates 4 --out work/tasks.jsonl
    """
    from backend.generation.generators import chosen_generators
    from backend.generation.run import GenerateOptions, gather_images, write_tasks
    from backend.generation.sources import SourceOptions
    from backend.generation.styles import chosen_styles

    of_engine = {name: options.pop(name) for name in ("engine", "model", "rubric", "batch_size")}
    settings = load_settings(**of_engine)
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    of_sources = {name: options.pop(name) for name in ("image_column", "licence_column", "licence", "split")}
    sources = SourceOptions(**of_sources, hf_token=token, besides=(options["out"].parent / "images",))
    styles = chosen_styles(options.pop("style_names"), options.pop("styles_file"))
    asked = GenerateOptions(images=images, styles=styles, sources=sources, **options)
    chosen = chosen_generators(settings, generators, asked.kind)
    with progress_bar("Reading images") as report:
        gathered = gather_images(settings, asked, report)
    for failure in gathered.failures:
        note(f"not used: {failure.source}: {failure.reason}")
    with progress_bar("Writing texts") as report:
        run = write_tasks(settings, asked, gathered, chosen, report)
    code = FAILED if run.unwritten or run.images.failures else DONE
    return Result(_as_data(run, asked.out), (run.summary(),), code)


def _as_data(run: GenerationRun, out: Path) -> dict[str, Any]:
    """The balance of images and of candidates."""
    failures = [{"source": one.source, "reason": one.reason} for one in run.images.failures]
    images = {"total": run.images.total, "used": len(run.images.used), "duplicates": run.images.duplicates}
    counts = {name: getattr(run, name) for name in ("candidates", "written", "already", "duplicates", "unwritten")}
    return {"out": out, "images": {**images, "failures": failures}, **counts}
