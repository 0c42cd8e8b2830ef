"""`python -m backend.cli` is `vlm-judge`."""

from backend.cli.root import main

main(prog_name="vlm-judge")
