"""Plots of the report: SVG made by matplotlib, to be put into the page. Bars differ in shade and hatching."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_STYLES: Final = (("#1f4e79", ""), ("#d9d9d9", "////"))
_MAX_LABELS: Final = 11


@dataclass(frozen=True)
class Plot:
    """
    A plot.

    :param title: what it shows.
    :param svg: the picture; made of numbers and of texts of this package alone.
    :param description: the same in a sentence, for those who do not see it.
    """

    title: str
    svg: str
    description: str


def bars(title: str, labels: Sequence[str], series: Mapping[str, Sequence[float]], unit: str) -> Plot:
    """
    Draw bars side by side.

    :param title: what they show.
    :param labels: one for each group of bars.
    :param series: the values of each series, one for each label.
    :param unit: the unit of the values.
    :return: the plot.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    # Text stays text (readable, searchable); ids are made from a fixed salt, so that equal data give equal pages.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.family": "sans-serif"}):
        figure = Figure(figsize=(9, 2.9), layout="constrained")
        axes = figure.add_subplot()
        width = 0.8 / len(series)
        for number, (name, values) in enumerate(series.items()):
            color, hatch = _STYLES[number % len(_STYLES)]
            places = [place + (number - (len(series) - 1) / 2) * width for place in range(len(labels))]
            axes.bar(places, values, width, label=name, color=color, hatch=hatch, edgecolor="black", linewidth=0.5)
        step = -(-len(labels) // _MAX_LABELS)
        axes.set_xticks(range(0, len(labels), step), labels[::step])
        axes.set_ylabel(unit)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=unit in ("recordings", "bytes")))
        axes.grid(axis="y", linewidth=0.4)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        if len(series) > 1:
            figure.legend(loc="outside upper right", ncols=len(series), frameon=False)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = out.getvalue()
    return Plot(title, svg[svg.index("<svg") :], _describe(labels, series, unit))


def _describe(labels: Sequence[str], series: Mapping[str, Sequence[float]], unit: str) -> str:
    parts = []
    for name, values in series.items():
        most = max(range(len(values)), key=values.__getitem__)
        parts.append(f"{name}: {sum(values):,.4g} {unit} in all, most ({values[most]:,.4g}): {labels[most]}")
    return f"From {labels[0]} to {labels[-1]}. {'. '.join(parts)}."
