"""The soak's result as one drawing (SVG): resident memory over the run, and throughput."""

from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT, TOP, BOTTOM = 760, 300, 34, 250
COLOURS = {("local", 1): "#1f77b4", ("local", 2): "#0b3d66", ("ray", 1): "#e08214", ("ray", 2): "#8c4a02"}
_STYLE = "text{font:12px sans-serif;fill:#222}.h{font-weight:bold}.g{stroke:#ddd}polyline{fill:none;stroke-width:1.5}"


def draw(result: Mapping[str, Any]) -> str:
    """Return the drawing: left the largest process's memory against the share of the run, right steps per second."""
    title = f"{result['steps']:,} steps in {result['shards']} shards"
    parts = [*_memory(result["runs"]), *_throughput(result["runs"])]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
        f'<style>{_STYLE}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _memory(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    left, right = 50, 400
    most = max(sample["largest_mb"] for run in runs for sample in run["samples"]) * 1.15
    parts = [_text(left, 18, "Largest process, resident MB, against share of the run", style="h")]
    parts += _grid(left, right, most)
    for run in runs:
        points = " ".join(
            f"{left + (right - left) * sample['seconds'] / run['process_seconds']:.1f},"
            f"{_height(sample['largest_mb'], most):.1f}"
            for sample in run["samples"]
        )
        parts.append(f'<polyline points="{points}" stroke="{COLOURS[run["engine"], run["workers"]]}"/>')
    shares = ((0, "0 %"), (0.5, "50 %"), (1, "100 %"))
    return parts + [_text(left + (right - left) * x, BOTTOM + 18, name, "middle") for x, name in shares]


def _throughput(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    left, right = 480, 740
    most = max(run["steps_per_second"] for run in runs) * 1.15
    width = (right - left) / len(runs)
    parts = [_text(left, 18, "Steps per second, wall clock", style="h"), *_grid(left, right, most)]
    for place, run in enumerate(runs):
        x, y = left + width * (place + 0.2), _height(run["steps_per_second"], most)
        colour = COLOURS[run["engine"], run["workers"]]
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{0.6 * width:.1f}" height="{BOTTOM - y:.1f}" fill="{colour}"/>'
        )
        parts.append(_text(x + 0.3 * width, y - 5, f"{run['steps_per_second']:,.0f}", "middle"))
        parts.append(_text(x + 0.3 * width, BOTTOM + 18, f"{run['engine']} {run['workers']}", "middle"))
    return [*parts, _text((left + right) / 2, BOTTOM + 36, "engine and processes", "middle")]


def _grid(left: float, right: float, most: float) -> list[str]:
    step = _round_step(most)
    values = [step * k for k in range(int(most / step) + 1)]
    lines = [
        f'<line class="g" x1="{left}" x2="{right}" y1="{_height(v, most):.1f}" y2="{_height(v, most):.1f}"/>'
        for v in values
    ]
    return lines + [_text(left - 6, _height(v, most) + 4, f"{v:,.0f}", "end") for v in values]


def _round_step(most: float) -> float:
    """Return 1, 2 or 5 times a power of ten, such that some four of them make `most`."""
    power = 10.0 ** (len(str(int(most / 4))) - 1)
    return max(factor * power for factor in (1, 2, 5) if factor == 1 or factor * power <= most / 4)


def _height(value: float, most: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * value / most


def _text(x: float, y: float, text: str, anchor: str = "start", style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{style}">{text}</text>'
