"""Bar charts for the documents, as PNG and SVG; matplotlib comes with the extra `bench`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

OURS = "#0f766e"
OTHERS = "#94a3b8"


class Bar(NamedTuple):
    """One bar: its name, its length, what is written beside it, and whether it is crawlfleet's."""

    name: str
    value: float
    words: str
    ours: bool = False


def draw(
    bars: Sequence[Bar], title: str, unit: str, path: Path, *, limit: float | None = None, log: bool = False
) -> bool:
    """Write `path` with the endings .png and .svg; False if matplotlib is not installed."""
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    # The same bars give the same bytes.
    mpl.rcParams.update({"svg.hashsalt": "crawlfleet", "svg.fonttype": "none", "font.size": 10})
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(bars) + 1.3))
    colours = [OURS if bar.ours else OTHERS for bar in bars]
    drawn = axes.barh([bar.name for bar in bars], [bar.value for bar in bars], color=colours)
    axes.bar_label(drawn, labels=[f" {bar.words}" for bar in bars])
    axes.invert_yaxis()
    axes.set_title(title, loc="left")
    axes.set_xlabel(unit)
    axes.margins(x=0.18)
    if log:
        axes.set_xscale("log")
    if limit is not None:
        axes.axvline(limit, color="#b91c1c", linestyle="--", linewidth=1)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path.with_suffix(".png"), dpi=120, metadata={"Software": None})
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    plt.close(figure)
    return True
