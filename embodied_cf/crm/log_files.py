"""Logs on disk: parquet, npz, or RLDS rollouts; each read into one DecisionLog.

Columns of parquet and npz (one row per decision; * is needed):

| column | what |
|---|---|
| context * | list of floats |
| action * | integer (a choice), float or list of floats (settings) |
| log_prob or propensity * | of `action` under its logger, recorded when it acted |
| reward * | larger is better |
| logger | policy id and version, text; default "logger" |
| episode | integer; default one episode per decision |
| target_log_prob | of `action` under a policy to be evaluated |
| ending, cost | of the row's episode: success, failure, timeout or intervention; cost as a float |

An RLDS rollout has the same names under `steps/` (context under `steps/observation/`), a step without a decision having
log_prob nan, and `ending`, `cost` and `logger` under `episode_metadata/`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float

from embodied_cf.crm.logs import ROUNDING, DecisionLog, EpisodeEnds
from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.errors import DatasetError, RecordError, UsageError

Table = Mapping[str, np.ndarray]
_NUMBERS = ("context", "action", "log_prob", "propensity", "reward", "cost", "target_log_prob")
_NAMES = ("logger", "episode", "ending")


@dataclass(frozen=True)
class LogKeys:
    """Where an RLDS rollout keeps what a log needs; `steps/` is left out."""

    context: tuple[str, ...] = ("observation/context",)
    """Features, joined in this order."""
    action: str = "action"
    log_prob: str = "log_prob"
    reward: str = "reward"
    logger: str = "episode_metadata/logger"
    ending: str = "episode_metadata/ending"
    cost: str = "episode_metadata/cost"


@dataclass(frozen=True)
class StoredLog:
    """A log, and a target policy's log probabilities if they were stored beside it."""

    log: DecisionLog
    target_log_prob: Float[np.ndarray, " n"] | None = None


def read_log(path: Path, reward_range: tuple[float, float], keys: LogKeys = LogKeys()) -> StoredLog:
    """Read a .parquet or .npz file, or the version directory of an RLDS dataset."""
    if path.is_dir():
        return _from_table(_rlds_table(path, keys), reward_range, path)
    readers = {".parquet": _parquet_table, ".npz": _npz_table}
    if path.suffix not in readers:
        raise UsageError("not a kind of log", where=path, remedy="Give a .parquet or .npz file, or an RLDS directory.")
    if not path.is_file():
        raise DatasetError("no such file", where=path)
    return _from_table(readers[path.suffix](path), reward_range, path)


def write_npz(path: Path, stored: StoredLog) -> None:
    """Write a log as npz, readable by `read_log`."""
    log = stored.log
    columns: dict[str, np.ndarray] = {
        "context": log.context,
        "action": log.action,
        "log_prob": log.log_prob,
        "reward": log.reward,
        "logger": np.array(log.logger),
        "episode": log.episode,
    }
    if stored.target_log_prob is not None:
        columns["target_log_prob"] = stored.target_log_prob
    if log.ends is not None:
        columns |= {"ending": np.array(log.ends.ending)[log.episode], "cost": log.ends.cost[log.episode]}
    np.savez_compressed(path, **columns)  # type: ignore[arg-type]


def _from_table(table: Table, reward_range: tuple[float, float], where: Path) -> StoredLog:
    for name in ("context", "action", "reward"):
        if name not in table:
            raise DatasetError(f"no column {name!r}", where=where, remedy=f"It has: {', '.join(sorted(table))}.")
    _check_columns(table, where)
    n, action = len(table["reward"]), table["action"]
    log = DecisionLog(
        context=table["context"].astype(np.float64).reshape(n, -1),
        action=action.astype(np.int64) if action.dtype.kind in "iub" else action.astype(np.float64),
        log_prob=_log_prob(table, where),
        reward=table["reward"].astype(np.float64),
        reward_range=reward_range,
        logger=_texts(table["logger"]) if "logger" in table else ("logger",) * n,
        episode=np.unique(table["episode"], return_inverse=True)[1] if "episode" in table else np.arange(n),
        ends=_ends(table),
    )
    target = table["target_log_prob"].astype(np.float64) if "target_log_prob" in table else None
    if target is not None and log.action.dtype.kind in "iu" and (target > ROUNDING).any():
        raise DatasetError("a target_log_prob above 0: no choice is likelier than certain", where=where)
    return StoredLog(log, target)


def _check_columns(table: Table, where: Path) -> None:
    """Raise DatasetError for a column without one entry per decision: numpy would stretch or fold some of them."""
    rows = table["reward"].shape
    if rows == (0,):
        raise DatasetError("the log has no decisions", where=where)
    for name in (*_NUMBERS, *_NAMES):
        if name not in table:
            continue
        column = table[name]
        shape = column.shape[:1] if name in ("context", "action") else column.shape
        if len(rows) != 1 or shape != rows:
            raise DatasetError(
                f"column {name!r} has shape {column.shape}, and reward {rows}",
                where=where,
                remedy="Give each column one entry per decision.",
            )
        numeric = name in _NUMBERS
        if column.dtype.kind not in ("biuf" if numeric else "biufSU"):
            wanted = "numbers" if numeric else "names"
            raise DatasetError(
                f"column {name!r} holds something else than {wanted}",
                where=where,
                remedy="Fill gaps, give every list the same length, and number choices 0, 1, 2, ...",
            )
    if "episode" in table and table["episode"].dtype.kind == "f" and not np.isfinite(table["episode"]).all():
        raise DatasetError("an episode without a number", where=where, remedy="Number the episode of each decision.")


def _texts(names: np.ndarray) -> tuple[str, ...]:
    return tuple(str(name) for name in (np.char.decode(names, "utf-8") if names.dtype.kind == "S" else names))


def _log_prob(table: Table, where: Path) -> np.ndarray:
    if "log_prob" in table:
        return table["log_prob"].astype(np.float64)
    if "propensity" not in table:
        raise DatasetError(
            "neither log_prob nor propensity, so decisions cannot be reweighted",
            where=where,
            remedy="Record it, recompute it from the checkpoint, or estimate it (crm.propensity; no guarantee then).",
        )
    propensity = table["propensity"].astype(np.float64)
    if not (propensity > 0).all():
        raise DatasetError(
            "a logged action whose propensity is not above 0",
            where=where,
            remedy="What was logged had some probability: record it at the moment of the decision.",
        )
    return np.log(propensity)


def _ends(table: Table) -> EpisodeEnds | None:
    if "ending" not in table:
        return None
    episode = table["episode"] if "episode" in table else np.arange(len(table["reward"]))
    _, first = np.unique(episode, return_index=True)  # in the order of the numbers 0..m-1 that they get
    cost = table["cost"][first].astype(np.float64) if "cost" in table else np.zeros(len(first))
    return EpisodeEnds(_texts(table["ending"][first]), cost)


def _npz_table(path: Path) -> Table:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError, EOFError, TypeError, BadZipFile) as error:  # TypeError: a lone array, no archive
        raise DatasetError(f"not a readable npz file ({error})", where=path) from error


def _parquet_table(path: Path) -> Table:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise UsageError("parquet needs pyarrow", where=path, remedy="pip install 'embodied-cf[lerobot]'") from None
    try:
        columns = parquet.read_table(path).to_pydict()
    except (OSError, ArrowException) as error:
        raise DatasetError(f"not a readable parquet file ({error})", where=path) from error
    return {name: _column(values) for name, values in columns.items()}


def _column(values: list[Any]) -> np.ndarray:
    try:
        return np.array(values)
    except ValueError:  # lists of different length
        return np.array(values, dtype=object)


def _rlds_table(path: Path, keys: LogKeys) -> Table:
    dataset = open_dataset(path)
    rows: dict[str, list[Any]] = {}
    for number, (episode_id, record) in enumerate(dataset.records()):
        columns = Columns(record, dataset.features, episode_id)
        for name, values in _episode(columns, keys, number).items():
            rows.setdefault(name, []).append(values)
    return {name: np.concatenate(parts) for name, parts in rows.items()}


def _episode(columns: Columns, keys: LogKeys, number: int) -> Table:
    """Return the decisions of one episode: its steps with a log probability."""
    log_prob = np.asarray(columns.array(f"steps/{keys.log_prob}"), np.float64).reshape(-1)
    chosen = ~np.isnan(log_prob)
    if not chosen.any():
        raise RecordError(f"no step has a {keys.log_prob}", where=columns.where, remedy="Leave the episode out.")
    count = int(chosen.sum())
    parts = [np.asarray(columns.array(f"steps/{key}")).reshape(len(log_prob), -1) for key in keys.context]
    table = {
        "context": np.concatenate(parts, axis=1)[chosen],
        "action": np.asarray(columns.array(f"steps/{keys.action}"))[chosen],
        "log_prob": log_prob[chosen],
        "reward": np.asarray(columns.array(f"steps/{keys.reward}")).reshape(-1)[chosen],
        "episode": np.full(count, number),
    }
    for name, key in (("logger", keys.logger), ("ending", keys.ending)):
        if columns.has(key):
            table[name] = np.repeat(columns.texts(key)[:1], count)
    if columns.has(keys.cost):
        table["cost"] = np.full(count, float(np.asarray(columns.array(keys.cost)).reshape(-1)[0]))
    return table
