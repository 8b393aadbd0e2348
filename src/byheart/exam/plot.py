"""Line and point pictures as SVG text, coloured by the page's style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 420, 270
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 30, 42
DASHES = ("", "7 4", "2 4", "9 3 2 3")


@dataclass(frozen=True)
class Line:
    """One curve: values by position on the horizontal axis (None where there is none)."""

    label: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Point:
    """A point of a scatter; an open point was tried and not committed."""

    label: str
    x: float
    y: float
    open: bool = False
    tip: str = ""


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that span a range.

    >>> ticks(0, 1), ticks(0.962, 1.0)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.96, 0.97, 0.98, 0.99, 1.0])
    """
    rough = max(high - low, 1e-9) / count
    size = 10 ** floor(log10(rough))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= rough - 1e-12)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def percent(value: float) -> str:
    """A share as a percentage, with a decimal only where it says something.

    >>> percent(0.5), percent(0.995), percent(1.0)
    ('50%', '99.5%', '100%')
    """
    return f"{100 * value:.1f}".removesuffix(".0") + "%"


def lines(names: Sequence[str], curves: Sequence[Line], x_title: str, y_title: str) -> str:
    """Curves over named positions; the vertical axis is a share from 0 to 100%."""
    x = _scale(0, max(len(names) - 1, 1), LEFT + 10, WIDTH - RIGHT - 10)
    y = _scale(0, 1, HEIGHT - BOTTOM, TOP)
    parts = [_rows(ticks(0, 1), y), _bottom()]
    every = ceil(len(names) / 8)
    for i, name in enumerate(names):
        if i % every == 0:
            parts.append(_text(x(i), HEIGHT - BOTTOM + 16, name, "middle"))
    for n, curve in enumerate(curves):
        known = [(i, v) for i, v in enumerate(curve.values) if v is not None]
        path = " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in known)
        parts.append(f'<polyline points="{path}" fill="none" {stroke(n)} stroke-linejoin="round"/>')
        for i, v in known:
            tip = f"{curve.label}: {percent(v)} at {names[i]}"
            parts.append(_dot(x(i), y(v), n, False, tip, 3.6))
    return _picture(parts, x_title, y_title, f"{y_title} of {len(curves)} groups over {len(names)} versions")


def scatter(points: Sequence[Point], x_title: str, y_title: str) -> str:
    """Points on two shares; the better corner is the upper right."""
    xs, ys = ([getattr(p, axis) for p in points] for axis in "xy")
    across, up = ticks(_low(xs), max(1.0, *xs)), ticks(_low(ys), max(1.0, *ys))
    x = _scale(across[0], across[-1], LEFT + 4, WIDTH - RIGHT - 18)
    y = _scale(up[0], up[-1], HEIGHT - BOTTOM, TOP + 6)
    parts = [_rows(up, y), _bottom()]
    for t in across:
        parts.append(f'<line class="grid-line" x1="{x(t):.1f}" x2="{x(t):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(_text(x(t), HEIGHT - BOTTOM + 16, percent(t), "middle"))
    boxes = [_box(x(p.x) - 7, y(p.y), 14) for p in points]
    for p in points:
        parts.append(_dot(x(p.x), y(p.y), 0, p.open, p.tip or f"{p.label}: {percent(p.x)}, {percent(p.y)}", 5.5))
        at, height, anchor = _place(x(p.x), y(p.y), 6.4 * len(p.label), boxes)
        parts.append(_text(at, height + 4, p.label, anchor, "mark"))
    return _picture(parts, x_title, y_title, f"{len(points)} versions by {x_title} and {y_title}")


def key(n: int) -> str:
    """The sample of a curve's line for a legend."""
    return f'<svg viewBox="0 0 30 10" aria-hidden="true"><line x1="1" x2="29" y1="5" y2="5" {stroke(n)}/></svg>'


def stroke(n: int) -> str:
    """Colour and dash of the n-th curve, so that it is known without its colour too."""
    dash = DASHES[n // 8 % 4] or DASHES[n % 4]
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'stroke="var(--s{n % 8})" stroke-width="2.2" stroke-linecap="round"{dashes}'


def _low(values: Sequence[float]) -> float:
    """Where an axis of shares begins: a little under its least value, so that near ones come apart."""
    spread = 1.0 - min(values)
    return max(0.0, 1.0 - max(1.25 * spread, 0.02))


Box = tuple[float, float, float, float]


def _box(left: float, middle: float, width: float) -> Box:
    return (left, middle - 7, left + width, middle + 7)


def _place(x: float, y: float, width: float, boxes: list[Box]) -> tuple[float, float, str]:
    """Where a point's label covers nothing: right of it, left, above, below, or else further below."""
    choices = [(x + 10, y, "start"), (x - 10, y, "end"), (x, y - 15, "middle"), (x, y + 15, "middle")]
    choices += [(x, y + 15 + 13 * n, "middle") for n in range(1, 9)]
    for at, height, anchor in choices:
        left = {"start": at, "end": at - width, "middle": at - width / 2}[anchor]
        box = _box(left, height, width)
        inside = left > LEFT and box[2] < WIDTH and height > TOP - 8
        if inside and not any(_overlap(box, b) for b in boxes):
            break
    boxes.append(box)
    return at, height, anchor


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _scale(low: float, high: float, start: float, end: float) -> _Scale:
    return _Scale(low, (end - start) / ((high - low) or 1), start)


@dataclass(frozen=True)
class _Scale:
    low: float
    rate: float
    start: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) * self.rate


def _rows(values: Sequence[float], y: _Scale) -> str:
    parts = []
    for v in values:
        parts.append(f'<line class="grid-line" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>')
        parts.append(_text(LEFT - 7, y(v) + 4, percent(v), "end"))
    return "".join(parts)


def _bottom() -> str:
    y = HEIGHT - BOTTOM
    return f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    marked = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{marked}>{escape(text)}</text>'


def _dot(x: float, y: float, n: int, hollow: bool, tip: str, radius: float) -> str:
    fill = "var(--card)" if hollow else f"var(--s{n % 8})"
    style = f'fill="{fill}" stroke="var(--s{n % 8})" stroke-width="2"'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" {style}><title>{escape(tip)}</title></circle>'


def _picture(parts: Sequence[str], x_title: str, y_title: str, label: str) -> str:
    middle = (LEFT + WIDTH - RIGHT) / 2
    titles = (_text(middle, HEIGHT - 6, x_title, "middle"), _text(0, 12, y_title, "start"))
    body = "".join([*parts, *titles])
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{body}</svg>'
