"""Numbers -> inline SVG. Pure: every text is escaped, colours come from the page's classes, equal input, equal bytes.

Each chart names and describes itself for a screen reader, and tells its series apart by mark as well as by colour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

Point = tuple[float, float]
MARKS = ("circle", "square", "triangle", "diamond", "cross")
WIDTH, HEIGHT = 420, 250
LEVELS = 5


def tag(name: str, *children: Markup | str, **attributes: object) -> Markup:
    """Return one escaped element: ``class_`` and ``stroke_width`` are class and stroke-width, numbers are rounded."""
    pairs = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _short(value)) for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(name, pairs, Markup("").join(children))


@dataclass(frozen=True, slots=True)
class Frame:
    """A plot area: value ranges on pixels, with room for the axes' numbers and names."""

    low_x: float
    high_x: float
    low_y: float
    high_y: float
    width: int = WIDTH
    height: int = HEIGHT
    left: int = 54
    right: int = 14
    top: int = 10
    bottom: int = 38

    def x(self, value: float) -> float:
        """Return the horizontal pixel of ``value``."""
        span = (self.high_x - self.low_x) or 1.0
        return self.left + (value - self.low_x) / span * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        """Return the vertical pixel of ``value``, counted from the top."""
        span = (self.high_y - self.low_y) or 1.0
        return self.height - self.bottom - (value - self.low_y) / span * (self.height - self.top - self.bottom)

    def draw_axes(
        self,
        name_x: str,
        name_y: str,
        ticks_x: Sequence[float],
        ticks_y: Sequence[float],
        show_y: Callable[[float], float] = float,
    ) -> list[Markup]:
        """Return grid lines, numbers (``show_y`` of those beside the vertical axis) and the names of both axes."""
        floor, end = self.height - self.bottom, self.width - self.right
        parts = []
        for value in ticks_y:
            at = self.y(value)
            parts += [tag("line", x1=self.left, x2=end, y1=at, y2=at, class_="grid")]
            parts += [tag("text", _tick(show_y(value)), x=self.left - 6, y=at + 4, class_="tick end")]
        for value in ticks_x:
            parts += [tag("text", _tick(value), x=self.x(value), y=floor + 16, class_="tick mid")]
        middle = (self.top + floor) / 2
        turned = f"rotate(-90 12 {_short(middle)})"
        parts += [tag("line", x1=self.left, x2=end, y1=floor, y2=floor, class_="axis")]
        parts += [tag("text", name_x, x=(self.left + end) / 2, y=self.height - 5, class_="name mid")]
        return [*parts, tag("text", name_y, x=12, y=middle, transform=turned, class_="name mid")]


@dataclass(frozen=True, slots=True)
class Line:
    """One series: its name, its points, and the number of its colour and mark."""

    name: str
    points: tuple[Point, ...]
    style: int


def wrap_svg(
    key: str, title: str, description: str, parts: Sequence[Markup], width: int, height: int, is_fixed: bool = False
) -> Markup:
    """Return a chart of ``parts`` that announces itself; ``key`` is unique on the page.

    A fixed one keeps its size in pixels, any other follows the room it has.
    """
    names = f"{key}-title {key}-desc"
    head = (tag("title", title, id=f"{key}-title"), tag("desc", description, id=f"{key}-desc"))
    box = f"0 0 {width} {height}"
    size = {"width": width, "height": height} if is_fixed else {"class_": "chart"}
    return tag("svg", *head, *parts, viewBox=box, role="img", aria_labelledby=names, **size)


def draw_mark(style: int, x: float, y: float, size: float = 4.0) -> Markup:
    """Return the mark of a series, of one colour and one shape, centred on a pixel."""
    name, kind = MARKS[style % len(MARKS)], f"mark s{style}"
    if name == "circle":
        return tag("circle", cx=x, cy=y, r=size, class_=kind)
    corners = {
        "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
        "triangle": ((0, -1.2), (1.1, 0.9), (-1.1, 0.9)),
        "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
        "cross": ((-0.4, -1.2), (0.4, -1.2), (0.4, 1.2), (-0.4, 1.2)),
    }[name]
    return tag("polygon", points=_join((x + a * size, y + b * size) for a, b in corners), class_=kind)


def draw_lines(
    key: str, title: str, description: str, lines: Sequence[Line], name_y: str, marked: int | None = None
) -> Markup:
    """Return values per epoch, one line a series; the ``marked`` epoch stands out."""
    epochs = sorted({x for line in lines for x, _ in line.points})
    ticks = spread_ticks([y for line in lines for _, y in line.points])
    edge = 0.5 if len(epochs) == 1 else 0.0
    frame = Frame(epochs[0] - edge, epochs[-1] + edge, ticks[0], ticks[-1], top=22)
    parts = frame.draw_axes("epoch", name_y, thin_ticks(epochs), ticks)
    if marked is not None:
        at = frame.x(marked)
        place = "end" if at > WIDTH / 2 else "start"
        parts += [tag("line", x1=at, x2=at, y1=frame.top, y2=frame.height - frame.bottom, class_="chosen")]
        parts += [tag("text", f"chosen: epoch {marked}", x=at, y=frame.top - 7, class_=f"tick {place}")]
    for line in lines:
        places = [(frame.x(x), frame.y(y)) for x, y in line.points]
        parts += [tag("polyline", points=_join(places), class_=f"line s{line.style}")]
        parts += [draw_mark(line.style, *place) for place in places]
    return wrap_svg(key, title, description, parts, frame.width, frame.height)


def draw_reliability(key: str, title: str, description: str, bins: Sequence[dict[str, float]]) -> Markup:
    """Return accuracy against confidence, a mark per bin whose area grows with the bin's count.

    ``bins`` hold count, confidence and accuracy (see evaluate.reliability_curve).
    """
    frame, ticks = Frame(0.3, 1.0, 0.0, 1.0), (0, 0.25, 0.5, 0.75, 1)
    parts = frame.draw_axes("confidence", "share right", (0.4, 0.6, 0.8, 1.0), ticks)
    ends = _join(((frame.x(0.3), frame.y(0.3)), (frame.x(1), frame.y(1))))
    parts += [tag("polyline", points=ends, class_="ideal")]
    most = max(one["count"] for one in bins)
    places = [(frame.x(one["confidence"]), frame.y(one["accuracy"])) for one in bins]
    parts += [tag("polyline", points=_join(places), class_="line s0")]
    sizes = [3 + 4 * (one["count"] / most) ** 0.5 for one in bins]
    marks = [draw_mark(0, *place, size) for place, size in zip(places, sizes, strict=True)]
    parts += [tag("g", *marks, class_="full")]
    return wrap_svg(key, title, description, parts, frame.width, frame.height)


def draw_histogram(key: str, title: str, description: str, right: np.ndarray, wrong: np.ndarray) -> Markup:
    """Return where right rows lie (above the line) and wrong ones (below it), each as shares of its own kind.

    Both are counts of rows, int (bins,), in equal bins of confidence over 1/3..1.
    """
    up, down = (100 * counts / max(1, counts.sum()) for counts in (right, wrong))
    frame = Frame(1 / 3, 1.0, -max(10.0, float(down.max())), max(10.0, float(up.max())), height=280)
    ticks = [tick for tick in range(-100, 101, 20) if frame.low_y <= tick <= frame.high_y]
    parts = frame.draw_axes("confidence", "% of its kind", (0.4, 0.6, 0.8, 1.0), ticks, abs)
    edges = np.linspace(1 / 3, 1, len(right) + 1)
    for i, (low, high) in enumerate(zip(edges, edges[1:], strict=False)):
        x, width = frame.x(low) + 1, frame.x(high) - frame.x(low) - 2
        parts += [_bar(x, frame.y(up[i]), width, frame.y(0), f"{right[i]} right rows", "bar s0")]
        parts += [_bar(x, frame.y(0), width, frame.y(-down[i]), f"{wrong[i]} wrong rows", "bar s1")]
    parts += [tag("line", x1=frame.left, x2=frame.width - frame.right, y1=frame.y(0), y2=frame.y(0), class_="axis")]
    return wrap_svg(key, title, description, parts, frame.width, frame.height)


def draw_scatter(key: str, title: str, description: str, lines: Sequence[Line]) -> Markup:
    """Return predicted against true scores, both in -1..1, one mark a point and the line where they agree."""
    frame, ticks = Frame(-1, 1, -1, 1, height=340), (-1, -0.5, 0, 0.5, 1)
    parts = frame.draw_axes("true score", "predicted score", ticks, ticks)
    parts += [tag("polyline", points=_join(((frame.x(-1), frame.y(-1)), (frame.x(1), frame.y(1)))), class_="ideal")]
    for line in lines:
        parts += [draw_mark(line.style, frame.x(x), frame.y(y), 3.4) for x, y in line.points]
    return wrap_svg(key, title, description, parts, frame.width, frame.height)


def spread_ticks(values: Sequence[float]) -> list[float]:
    """Return 3 to 7 round numbers at equal distances, the first and last of which enclose ``values``."""
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.1, high + 0.1
    rough = (high - low) / 4
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [round(float(i * step), 10) for i in np.arange(first, last + 1)]


def thin_ticks(values: Sequence[float], most: int = 8) -> list[float]:
    """Return at most about ``most`` of ``values``, the first among them."""
    return list(values[:: -(-len(values) // most)])


def _bar(x: float, top: float, width: float, bottom: float, title: str, kind: str) -> Markup:
    return tag("rect", tag("title", title), x=x, y=top, width=width, height=max(0.0, bottom - top), class_=kind)


def _join(points: Iterable[Point]) -> str:
    return " ".join(f"{_short(x)},{_short(y)}" for x, y in points)


def _short(value: object) -> object:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value


def _tick(value: float) -> str:
    return f"{value:.4g}"
