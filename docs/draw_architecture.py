"""Draw docs/images/architecture.svg: the parts of skwing and which of them import which.

    python docs/draw_architecture.py

reads the imports from the source, so that the picture needs no list of its own. Each part is
drawn one row above the highest part that it imports. An import that follows from others (a
imports b, b imports c, so that a may import c) has no arrow of its own. Needs matplotlib:
``pip install skwing[plot]``.
"""

import ast
import json
import re
from graphlib import TopologicalSorter
from html import unescape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = Path(__file__).parent / "images" / "architecture.svg"
COLOURS = {"public": "#dbe9f6", "private": "#eeeeee"}


def import_graph(package=ROOT / "skwing"):
    """Parts of the package, each with the sorted parts that its modules import."""
    graph = {}
    for path in sorted(package.rglob("*.py")):
        part = path.relative_to(package).with_suffix("").parts[0]
        if part in ("__init__", "__main__"):
            continue
        used = graph.setdefault(part, set())
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            used.update(name.split(".")[1] for name in names if name.startswith("skwing."))
    return {part: sorted(used & graph.keys() - {part}) for part, used in graph.items()}


def order_of(graph):
    """Parts, each after those that it imports."""
    return list(TopologicalSorter(graph).static_order())


def rows_of(graph):
    """Rows of parts from the bottom up: each one above the highest part that it imports."""
    level = {}
    for part in order_of(graph):
        level[part] = 1 + max((level[used] for used in graph[part]), default=-1)
    return [sorted(p for p in level if level[p] == i) for i in range(1 + max(level.values()))]


def without_implied(graph):
    """The graph without the arrows that follow from others."""
    reached = {}
    for part in order_of(graph):
        reached[part] = set(graph[part]).union(*(reached[used] for used in graph[part]))
    return {
        part: [u for u in used if not any(u in reached[other] for other in used)]
        for part, used in graph.items()
    }


def drawn_graph(picture=PICTURE):
    """The graph that the picture was drawn from, which stands in it as a description."""
    text = picture.read_text("utf-8")
    return json.loads(unescape(re.search(r"<dc:description>(.*?)</dc:description>", text)[1]))


def places_of(graph):
    """Middle of each part's box; those of a row in the order that keeps arrows short."""
    places = {}
    for y, row in enumerate(rows_of(graph)):

        def pull(part):
            below = [places[used][0] for used in graph[part] if used in places]
            return sum(below) / len(below) if below else 0.0

        for i, part in enumerate(sorted(row, key=lambda part: (pull(part), part))):
            places[part] = (i - (len(row) - 1) / 2, y)
    return places


def draw(graph, picture=PICTURE):
    """Draw the graph into an SVG file."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    places, arrows = places_of(graph), without_implied(graph)
    width, height, step_x, step_y = 1.6, 0.5, 2.0, 1.3
    places = {part: (x * step_x, y * step_y) for part, (x, y) in places.items()}
    settings = {"svg.fonttype": "none", "svg.hashsalt": "skwing", "font.family": "sans-serif"}
    with plt.rc_context(settings):
        figure, axes = plt.subplots(figsize=(9, 1.1 * len(rows_of(graph))))
        for part, used in arrows.items():
            for other in used:
                start, end = places[part], places[other]
                arrow = FancyArrowPatch(
                    (start[0], start[1] - height / 2),
                    (end[0], end[1] + height / 2),
                    arrowstyle="-|>",
                    mutation_scale=10,
                    color="#777777",
                    linewidth=0.8,
                    connectionstyle="arc3,rad=0.05",
                )
                axes.add_patch(arrow)
        for part, (x, y) in places.items():
            colour = COLOURS["private" if part.startswith("_") else "public"]
            box = FancyBboxPatch(
                (x - width / 2, y - height / 2),
                width,
                height,
                boxstyle="round,pad=0,rounding_size=0.1",
                facecolor=colour,
                edgecolor="#555555",
            )
            axes.add_patch(box)
            axes.text(x, y, part, ha="center", va="center", fontsize=10)
        xs, ys = zip(*places.values(), strict=True)
        axes.set(xlim=(min(xs) - width, max(xs) + width), ylim=(-0.5, max(ys) + 0.5), aspect=1)
        axes.axis("off")
        note = {"Date": None, "Description": json.dumps(graph, sort_keys=True)}
        figure.savefig(picture, metadata=note, bbox_inches="tight")
        plt.close(figure)


if __name__ == "__main__":
    draw(import_graph())
    print(PICTURE)
