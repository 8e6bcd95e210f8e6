"""Marks with their names beside them, none on top of another."""

from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.transforms import Bbox, ScaledTranslation

MARK, HEIGHT, LETTER = 9, 10, 4.9  # points: a mark, a line of text, a letter of it
LEADER: dict[str, Any] = {"arrowstyle": "-", "color": "#AAAAAA", "linewidth": 0.5, "shrinkB": 4}
FREE = 0.06  # share of the axes that stays free at either end


def beside_marks(
    panel: Axes, x: Sequence, y: Sequence, names: Sequence[str], marks: Sequence[dict]
) -> None:
    """Draw a mark for every point and its name, with a thin line between where they stand apart.

    A mark that would cover another is moved aside by its own width.
    """
    panel.plot(x, y, linestyle="none")  # the limits follow from the data alone
    panel.margins(x=2 * FREE, y=FREE)
    figure = panel.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # where things are is known only then
    inches = figure.dpi_scale_trans
    places = 72 * (panel.transData - inches).transform([*zip(x, y, strict=True)])
    room = Bbox(72 * panel.bbox.transformed(inches.inverted()).get_points())
    taken: list[Bbox] = []
    points = [*zip(x, y, strict=True)]
    boxes = [_first_free([*_marks(*place)], taken, room) for place in places]
    for point, place, box, name, mark in zip(points, places, boxes, names, marks, strict=True):
        aside = ScaledTranslation((box.x0 + MARK / 2 - place[0]) / 72, 0, inches)
        where = panel.transData + aside
        panel.plot(*zip(point), markersize=7, transform=where, **mark)
        text = _first_free([*_texts(box, LETTER * len(name))], taken, room)
        offset = text.x0 - box.x0 - MARK / 2, text.y0 - box.y0 + (HEIGHT - MARK) / 2
        beside = abs(offset[1]) < HEIGHT / 4 and text.padded(3).overlaps(box)
        panel.annotate(
            name, point, offset, xycoords=where, textcoords="offset points", fontsize=8,
            va="center_baseline", arrowprops=None if beside else LEADER,
        )  # fmt: skip


def _first_free(candidates: list[Bbox], taken: list[Bbox], room: Bbox) -> Bbox:
    """Return the first candidate that overlaps nothing, else the first of all; it is then taken."""
    free = (one for one in candidates if not one.count_overlaps(taken) and _inside(one, room))
    found = next(free, candidates[0])
    taken.append(found)
    return found


def _inside(box: Bbox, room: Bbox) -> bool:
    return bool(room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1)


def _marks(x: float, y: float) -> Iterator[Bbox]:
    """Yield places of a mark: its own, then ever further to the right and to the left."""
    for steps in range(20):
        for side in (1, -1):
            yield Bbox.from_bounds(x - MARK / 2 + side * steps * MARK, y - MARK / 2, MARK, MARK)


def _texts(mark: Bbox, width: float) -> Iterator[Bbox]:
    """Yield places of a text: beside its mark, then ever further above and below."""
    middle = (mark.y0 + mark.y1 - HEIGHT) / 2
    for away in range(60):
        for upwards in (1, -1):
            y = middle + upwards * away * HEIGHT / 2
            for gap in (4, 14, 28, 42):
                yield Bbox.from_bounds(mark.x1 + gap - 2, y, width, HEIGHT)
                yield Bbox.from_bounds(mark.x0 - gap + 2 - width, y, width, HEIGHT)
