"""The plots of a report as SVG: no library, no script, no network. They take their colors from the page."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH, HEIGHT = 420, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 16, 14, 44
# Up to so many versions there is room for whole names under a curve.
_ROOMY = 4
# Told apart by shape as well as by color; the colors are those of Okabe and Ito.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 4", "10 4")


@dataclass(frozen=True, slots=True)
class Point:
    """A version's value with its interval."""

    label: str
    value: float
    low: float | None
    high: float | None


def curve(points: Sequence[Point], title: str) -> str:
    """A value across versions in their order, with intervals."""
    ends = [end for p in points for end in (p.value, p.low, p.high) if end is not None and end == end]
    low, high = _rounded_range(min(ends, default=0.0), max(ends, default=1.0))
    xs = [
        _at(index, 0, max(len(points) - 1, 1), _LEFT + 24, WIDTH - _RIGHT - 24)
        for index in range(len(points))
    ]
    ys = [_y(point.value, low, high) for point in points]
    parts = [*_frame(low, high), *_path(zip(xs, ys, strict=True), 0)]
    for x, y, point in zip(xs, ys, points, strict=True):
        if point.low is not None and point.high is not None:
            top, bottom = _y(point.high, low, high), _y(point.low, low, high)
            parts.append(_line(x, top, x, bottom, _COLORS[0]))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_COLORS[0]}"/>')
        label = point.label if len(points) <= _ROOMY else point.label.removeprefix("iteration ")
        parts.append(_text(x, HEIGHT - _BOTTOM + 18, label, "middle"))
        parts.append(_text(x + 7, y - 7, f"{point.value:.3f}", "start"))
    return _svg(parts, f"{title}: " + ", ".join(f"{p.label} {p.value:.3f}" for p in points))


def reliability_plot(series: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> str:
    """Share right against mean confidence, bin by bin; on the diagonal the probabilities mean what they say.

    A bin's dot is the larger the more decisions it holds.
    """
    parts = [*_frame(0.0, 1.0), *_ticks(0.5, 1.0)]
    parts.append(_line(_x(0.5), _y(0.5, 0, 1), _x(1.0), _y(1.0, 0, 1), "currentColor", "3 3", 0.5))
    for number, (label, bins) in enumerate(series):
        color = _COLORS[number % len(_COLORS)]
        spots = [(_x(one["confidence"]), _y(one["right"], 0, 1)) for one in bins]
        parts += _path(spots, number)
        total = sum(one["items"] for one in bins) or 1
        for (x, y), one in zip(spots, bins, strict=True):
            radius = 2 + 8 * (one["items"] / total) ** 0.5
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{color}" fill-opacity=".6"/>'
            )
        # Below the diagonal's beginning, where few judges are.
        row = HEIGHT - _BOTTOM - 8 - 14 * (len(series) - 1 - number)
        parts.append(_text(_LEFT + 8, row, label, "start", color))
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 8, "confidence in the chosen side", "middle"))
    return _svg(parts, "share right against confidence: " + ", ".join(label for label, _ in series))


def _svg(parts: Iterable[str], label: str) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img"'
    return f'{head} aria-label="{escape(label)}" font-size="11">{"".join(parts)}</svg>'


def _frame(low: float, high: float) -> Iterator[str]:
    """The axis on the left with five ticks."""
    for number in range(5):
        value = low + (high - low) * number / 4
        y = _y(value, low, high)
        yield _line(_LEFT, y, WIDTH - _RIGHT, y, "currentColor", "", 0.15)
        yield _text(_LEFT - 6, y + 4, f"{value:.2f}", "end")


def _ticks(low: float, high: float) -> Iterator[str]:
    for number in range(6):
        value = low + (high - low) * number / 5
        yield _text(_x(value), HEIGHT - _BOTTOM + 16, f"{value:.1f}", "middle")


def _rounded_range(low: float, high: float) -> tuple[float, float]:
    """A range in twentieths that leaves a little room."""
    return int(low * 20 - 1) / 20 if low * 20 >= 1 else low - 0.05, int(high * 20 + 2) / 20


def _at(value: float, low: float, high: float, first: float, last: float) -> float:
    return first + (value - low) / (high - low) * (last - first)


def _x(value: float) -> float:
    return _at(value, 0.5, 1.0, _LEFT, WIDTH - _RIGHT)


def _y(value: float, low: float, high: float) -> float:
    return _at(value, low, high, HEIGHT - _BOTTOM, _TOP)


def _path(spots: Iterable[tuple[float, float]], number: int) -> Iterator[str]:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    color, dash = _COLORS[number % len(_COLORS)], _DASHES[number % len(_DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    yield f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"{dashed}/>'


def _line(
    x1: float, y1: float, x2: float, y2: float, color: str, dash: str = "", opacity: float = 1.0
) -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{color}" stroke-opacity="{opacity:g}"{dashed}/>'


def _text(x: float, y: float, text: str, anchor: str, color: str = "currentColor") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{escape(text)}</text>'
