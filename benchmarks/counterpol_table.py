"""The tables of docs/results/counterpol.md from its JSON lines."""

from itertools import groupby
from statistics import mean


def print_tables(lines: list[dict]) -> None:
    """Print per environment and target: each method's return, divergence and cost, means over seeds."""
    print("| environment | R* | method | seeds | met | J (fresh, drawn actions) | J greedy | KL(cf, base) | per step | "
          "KL(base, cf) per step | excess KL | 10³ env steps | s |\n" + "|---" * 13 + "|")  # fmt: skip
    key = lambda line: (line["env"], line["target"])  # noqa: E731
    for (environment, target), group in groupby(sorted(lines, key=key), key=key):
        _print_target(environment, target, list(group))


def _print_target(environment: str, target: float, cells: list[dict]) -> None:
    found = [cell for cell in cells if "after" in cell]
    least = {seed: min(c["proximity"]["trajectory_kl"] for c in found if c["seed"] == seed and c["valid"])
             for seed in {cell["seed"] for cell in found if cell["valid"]}}  # fmt: skip
    for method in ("dual", "paper", "none"):
        rows = [cell for cell in cells if cell["method"] == method]
        if rows:
            print(f"| {environment} | {target:g} | {method} | {len(rows)} | {_row(rows, least)} |")


def _row(rows: list[dict], least: dict[int, float]) -> str:
    met = [cell for cell in rows if cell.get("valid")]
    found = [cell for cell in rows if "after" in cell]
    if not found:
        return f"0 | {rows[0]['unreachable'].split(': ')[1].split(' (')[0]} | – | – | – | – | – | – | –"
    kl = [cell["proximity"]["trajectory_kl"] for cell in found]
    excess = [_excess(cell["proximity"]["trajectory_kl"], least[cell["seed"]]) for cell in met]
    values = (
        str(len(met)),
        f"{_mean(found, 'after', 'stochastic', 'mean'):.4g} ± {_mean(found, 'after', 'stochastic', 'error'):.2g}",
        f"{_mean(found, 'after', 'greedy', 'mean'):.4g}",
        f"{mean(kl):.3g} ({min(kl):.3g}–{max(kl):.3g})",
        f"{_mean(found, 'proximity', 'forward_kl'):.2g}",
        f"{_mean(found, 'proximity', 'reverse_kl'):.2g}",
        f"{100 * mean(excess):.0f} %" if excess else "–",
        f"{_mean(found, 'cost', 'environment_steps') / 1000:.0f}",
        f"{_mean(found, 'cost', 'seconds'):.0f}",
    )
    return " | ".join(values)


def _excess(divergence: float, least: float) -> float:
    """Return the share beyond the least; nothing is beyond a policy that comes back unchanged, on its seed."""
    return divergence / least - 1 if least else 0.0


def _mean(cells: list[dict], *names: str) -> float:
    values = []
    for cell in cells:
        value = cell
        for name in names:
            value = value[name]
        values.append(value)
    return mean(values)
