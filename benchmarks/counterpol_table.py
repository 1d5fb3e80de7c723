"""The tables of docs/results/counterpol.md from its JSON lines."""

from itertools import groupby
from statistics import mean

METHODS = ("dual", "paper", "none")
RIVALS = ("paper", "none")


def print_tables(lines: list[dict]) -> None:
    """Print what each method reached, and how their divergences compare where both reached it."""
    targets = [(*key, list(group)) for key, group in groupby(sorted(lines, key=_target), key=_target)]
    print("| environment | R* | method | met | J (fresh, drawn actions) | J greedy | KL(cf, base) | per step | "
          "KL(base, cf) per step | excess KL | 10³ env steps | s |\n" + "|---" * 12 + "|")  # fmt: skip
    for environment, target, cells in targets:
        for method, row in method_rows(cells):
            print(f"| {environment} | {target:g} | {method} | {row} |")
    print("\n| environment | R* | paper / dual | seeds | none / dual | seeds |\n" + "|---" * 6 + "|")
    for environment, target, cells in targets:
        print(f"| {environment} | {target:g} | {' | '.join(ratio(cells, rival) for rival in RIVALS)} |")


def method_rows(cells: list[dict]) -> list[tuple[str, str]]:
    """Return each method's row for one target: means over the cells that met it. What missed is counted, no more."""
    met = [cell for cell in cells if cell.get("valid")]
    least = {seed: min(_kl(cell) for cell in _changed(met) if cell["seed"] == seed)
             for seed in {cell["seed"] for cell in _changed(met)}}  # fmt: skip
    tried = {method: sum(cell["method"] == method for cell in cells) for method in METHODS}
    return [(method, _row([cell for cell in met if cell["method"] == method], tried[method], least))
            for method in METHODS if tried[method]]  # fmt: skip


def ratio(cells: list[dict], rival: str) -> str:
    """Return how many times the dual's divergence a rival's is, on the seeds on which both met the target; and those.

    Mean over mean, and each seed's least and largest. Policies that came back unchanged have nothing to compare.
    """
    mine, its = ({cell["seed"]: _kl(cell) for cell in _changed(cells) if cell["method"] == method and cell["valid"]}
                 for method in ("dual", rival))  # fmt: skip
    seeds = sorted(mine.keys() & its.keys())
    if not seeds:
        return "– | 0"
    each = [its[seed] / mine[seed] for seed in seeds]
    total = sum(its[seed] for seed in seeds) / sum(mine[seed] for seed in seeds)
    return f"{_times(total)} ({_times(min(each))}–{_times(max(each))}) | {len(seeds)}"


def _times(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.3g}"


def _target(line: dict) -> tuple[str, float]:
    return line["env"], line["target"]


def _changed(cells: list[dict]) -> list[dict]:
    return [cell for cell in cells if cell.get("unchanged") is False]


def _kl(cell: dict) -> float:
    return cell["proximity"]["trajectory_kl"]


def _row(met: list[dict], tried: int, least: dict[int, float]) -> str:
    if not met:
        return f"0 of {tried}" + " | –" * 8
    kl, excess = [_kl(cell) for cell in met], [_kl(cell) / least[cell["seed"]] - 1 for cell in _changed(met)]
    values = (
        f"{len(met)} of {tried}",
        f"{_mean(met, 'after', 'stochastic', 'mean'):.4g} ± {_mean(met, 'after', 'stochastic', 'error'):.2g}",
        f"{_mean(met, 'after', 'greedy', 'mean'):.4g}",
        f"{mean(kl):.3g} ({min(kl):.3g}–{max(kl):.3g})",
        f"{_mean(met, 'proximity', 'forward_kl'):.2g}",
        f"{_mean(met, 'proximity', 'reverse_kl'):.2g}",
        f"{100 * mean(excess):.0f} %" if excess else "–",
        f"{_mean(met, 'cost', 'environment_steps') / 1000:.0f}",
        f"{_mean(met, 'cost', 'seconds'):.0f}",
    )
    return " | ".join(values)


def _mean(cells: list[dict], *names: str) -> float:
    values = []
    for cell in cells:
        value = cell
        for name in names:
            value = value[name]
        values.append(value)
    return mean(values)
