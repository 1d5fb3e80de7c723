"""From any format to any other: which conversion does it."""

from collections.abc import Callable
from pathlib import Path

from embodied_cf.datasets.convert.options import ConvertOptions, SourceFormat
from embodied_cf.datasets.convert.result import Converted, Progress
from embodied_cf.datasets.files import refuse_inside
from embodied_cf.errors import UsageError

Conversion = Callable[[ConvertOptions, Progress], Converted]


def convert(options: ConvertOptions, progress: Progress = lambda episodes, steps: None) -> Converted:
    """Convert a dataset; run again to resume. The source is never modified.

    Raises UsageError for a pair of formats that no conversion joins, DatasetError and RecordError for a source
    that is not what it should be, OutputError for an output directory that holds something else or lies in the source.
    """
    source = options.from_ or recognise(options.source)
    conversion = _conversion(source, options.to)
    if conversion is None:
        raise UsageError(
            f"no conversion from {source} to {options.to}",
            where=options.source,
            remedy="Convert to rlds first, then on.",
        )
    refuse_inside(options.source, options.out)
    return conversion(options, progress)


def recognise(path: Path) -> SourceFormat:
    """Return the format of what lies in a directory. Raises UsageError if it is none of those known."""
    if (path / "meta" / "info.json").is_file():
        return "lerobot"
    if (path / "features.json").is_file():
        return "rlds"
    if any(path.glob("**/traj_data.pkl")):
        return "gnm"
    raise UsageError(
        "neither LeRobot (meta/info.json), nor RLDS (features.json), nor GNM folders (traj_data.pkl)",
        where=path,
        remedy="Name the dataset's own directory, or its format with --from.",
    )


def _conversion(source: str, target: str) -> Conversion | None:
    if (source, target) == ("lerobot", "rlds"):
        from embodied_cf.datasets.convert.lerobot_to_rlds import lerobot_to_rlds

        return lerobot_to_rlds
    if (source, target) == ("rlds", "lerobot"):
        from embodied_cf.datasets.convert.rlds_to_lerobot import rlds_to_lerobot

        return rlds_to_lerobot
    if (source, target) == ("gnm", "rlds"):
        from embodied_cf.datasets.convert.gnm_to_rlds import gnm_to_rlds

        return gnm_to_rlds
    if (source, target) == ("rlds", "gnm"):
        from embodied_cf.datasets.convert.rlds_to_gnm import rlds_to_gnm

        return rlds_to_gnm
    if source == "rlds" and target in ("cast", "octo"):
        from embodied_cf.datasets.convert.rlds_to_branches import rlds_to_branches

        return rlds_to_branches
    return None
