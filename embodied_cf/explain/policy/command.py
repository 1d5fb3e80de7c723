"""What `embodied-cf explain policy` shows a person."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from embodied_cf.datasets.files import check_writable, write_json
from embodied_cf.errors import UsageError
from embodied_cf.explain.checkpoints import load_policy, save_policy
from embodied_cf.explain.options import SearchOptions
from embodied_cf.explain.policies import MlpPolicy
from embodied_cf.explain.policy.change_map import change_map
from embodied_cf.explain.policy.explanation import PolicyExplanation, explain_policy
from embodied_cf.explain.policy.measures import policy_measures
from embodied_cf.explain.policy.page import write_policy_page
from embodied_cf.explain.rollout import make_envs


@dataclass(frozen=True)
class PolicyOutputs:
    """Files to write; None writes none."""

    json: Path | None = None
    html: Path | None = None
    save: Path | None = None


def run_policy(
    policy: str, env: str, target: float, options: SearchOptions, seed: int, outputs: PolicyOutputs, repeat: int = 0
) -> int:
    """Explain, print and write; return the exit code. So many other searches tell how stable the answer is."""
    check_writable(outputs.json, outputs.html, outputs.save)
    torch.set_num_threads(1)  # small networks on small batches are slower with more
    original = load_policy(policy)
    if outputs.save and not isinstance(original, MlpPolicy):
        raise UsageError("only multilayer perceptrons can be saved", where=policy, remedy="Leave --save out.")
    console = Console(stderr=True)
    with console.status(f"looking for the least change that gives {env} the return {target:g}"):
        told, *others = (
            explain_policy(original, make_envs(env), target, options, seed=seed + at) for at in range(1 + repeat)
        )
    measures = policy_measures(told, original, others)
    print_policy(told, console)
    if outputs.json:
        measured = {"measures": asdict(measures), "map": change_map(told.visits).to_json()}
        write_json(outputs.json, {"env": env, "policy": policy, "seed": seed} | told.to_json() | measured)
    if outputs.html:
        write_policy_page(told, measures, env, policy, original, outputs.html, seed)
    if outputs.save and isinstance(told.policy, MlpPolicy):
        save_policy(told.policy, outputs.save)
    return 0


def print_policy(told: PolicyExplanation, console: Console) -> None:
    """Print returns and distances, the price, and what counts as valid."""
    table = Table("return on fresh episodes", "before", "after")
    for name, before, after in (
        ("actions drawn", told.before.stochastic, told.after.stochastic),
        ("likeliest actions", told.before.greedy, told.after.greedy),
    ):
        table.add_row(name, *(f"{it.mean:.4g} ± {it.error:.2g}" for it in (before, after)))
    console.print(table)
    if told.unchanged:
        console.print(f"The policy has return {told.target:g} already: nothing needs to change.")
    near = told.proximity
    console.print(
        f"Change: {near.trajectory_kl:.3g} nats per episode, {near.forward_kl:.2g} per step; "
        f"back {near.reverse_kl:.2g} per step; "
        f"the likeliest action differs in {100 * near.greedy_disagreement:.1f} % of states"
    )
    if told.multiplier is not None and not told.unchanged:
        console.print(f"Price: {told.multiplier:.3g} nats per unit of return at the target")
    verdict = "confirm" if told.valid else "[bold]do not confirm[/bold]"
    allowed = max(told.delta, 2 * told.after.stochastic.error)
    console.print(
        f"Fresh episodes {verdict} the target {told.target:g}: "
        f"valid is at most {allowed:.3g} off (delta, or two standard errors if those are more)"
    )
