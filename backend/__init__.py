"""Qwen2.5-VL as a judge inside Label Studio; `from backend import Judge` is the judge without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backend.public.judge import Judge
    from backend.public.results import Failure, Verdict
    from backend.public.samples import Sample

__all__ = ["Failure", "Judge", "Sample", "Verdict"]


def __getattr__(name: str) -> Any:
    """What is public is imported when it is first asked for, so that `import backend` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from backend.public import judge, results, samples

    public = {"Failure": results.Failure, "Judge": judge.Judge, "Sample": samples.Sample, "Verdict": results.Verdict}
    globals().update(public)
    return public[name]
