"""The inspection as one self-contained HTML file: numbers, health cards, film strips, histograms."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.contract import EncodedImages
from embodied_cf.datasets.episode_view import EpisodeView, is_action, view_episode
from embodied_cf.datasets.features import STEPS
from embodied_cf.datasets.files import write_text
from embodied_cf.datasets.film import frame_uri, spread_steps
from embodied_cf.datasets.inspection_result import Inspection
from embodied_cf.datasets.rlds import RldsDataset, Shard, open_dataset
from embodied_cf.datasets.shards import read_at
from embodied_cf.errors import RecordError

_EPISODES, _FRAMES = 5, 8
_WIDTH, _HEIGHT = 220.0, 64.0
"""Of a histogram, in SVG units."""
_HISTOGRAMS = 64
"""Drawn at most."""


@dataclass(frozen=True)
class Bar:
    """A rectangle of a histogram, in SVG units from the top left."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Histogram:
    """A picture of counts over [low, high]."""

    title: str
    low: float
    high: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Film:
    """Frames of one episode: for each camera a name and data URIs, "" where the bytes are no image."""

    episode_id: str
    steps: int
    instruction: str
    shown: tuple[int, ...]
    """Steps of the frames."""
    strips: tuple[tuple[str, tuple[str, ...]], ...]


def write_inspection_html(inspection: Inspection, path: Path, frames: bool = True) -> None:
    """Write the page. Without `frames` it holds no pixel; with them it reads five episodes of the dataset again.

    Raises OutputError if the file cannot be written, DatasetError if the dataset has gone since.
    """
    films = list(_films(inspection)) if frames and inspection.episodes else []
    write_text(path, inspection_html(inspection, films))


def inspection_html(inspection: Inspection, films: Sequence[Film]) -> str:
    """Return the page as text; every text of the dataset is escaped."""
    import jinja2

    template = resources.files("embodied_cf.datasets") / "templates" / "inspect.html.j2"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    severities = [found.severity for found in inspection.findings]
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        it=inspection, films=films, lengths=_length_histogram(inspection), actions=_action_histograms(inspection),
        tally={severity: severities.count(severity) for severity in ("error", "warning", "info")},
        relative=lambda key: key.removeprefix(f"{STEPS}/"), width=_WIDTH, height=_HEIGHT,
    )  # fmt: skip


def draw_bars(counts: Sequence[int], edges: Sequence[float]) -> tuple[Bar, ...]:
    """Return the bars of a histogram; the highest one fills the height, empty bins are left out.

    Counts (1, 2) over edges (0, 5, 10) give bars at x = 0 and 110 of heights 32 and 64.
    """
    step, top = _WIDTH / max(len(counts), 1), max(counts, default=0)
    return tuple(
        Bar(round(i * step, 2), round(_HEIGHT * (1 - count / top), 2), round(step * 0.94, 2),
            round(_HEIGHT * count / top, 2), f"{edges[i]:.4g} to {edges[i + 1]:.4g}: {count:,}")
        for i, count in enumerate(counts) if count
    )  # fmt: skip


def _length_histogram(inspection: Inspection) -> Histogram | None:
    lengths = inspection.lengths
    if lengths is None:
        return None
    return Histogram("steps per episode", lengths.minimum, lengths.maximum, draw_bars(lengths.counts, lengths.edges))


def _action_histograms(inspection: Inspection) -> list[Histogram]:
    found = []
    for column in filter(lambda column: is_action(column.key), inspection.numbers):
        for index, counts in enumerate(column.histogram):
            low, high = column.minimum[index], column.maximum[index]
            edges = [low + (high - low) * i / len(counts) for i in range(len(counts) + 1)]
            name = f"{column.key.removeprefix('steps/')}[{index}]"
            found.append(Histogram(name, low, high, draw_bars(counts, edges)))
    return found[:_HISTOGRAMS]


def _films(inspection: Inspection) -> Iterator[Film]:
    """Yield strips of episodes spread over the splits that were inspected."""
    dataset = open_dataset(inspection.path)
    shards = [shard for split in inspection.splits for shard in dataset.shards(split.name)]
    places = [(shard, index) for shard in shards for index in _spread(shard)]
    for at in spread_steps(len(places), _EPISODES):
        shard, index = places[at]
        for record in read_at(shard.path, dataset.file_format, [index]):
            try:
                columns = Columns(record.data, dataset.features, dataset.episode_id(shard, record.index))
            except RecordError:
                continue
            yield _film(view_episode(columns, dataset.features), columns.where, dataset, inspection)


def _spread(shard: Shard) -> list[int]:
    return spread_steps(shard.records, _EPISODES)


def _film(view: EpisodeView, episode_id: str, dataset: RldsDataset, inspection: Inspection) -> Film:
    shown = spread_steps(view.steps, _FRAMES)
    strips = tuple(
        (key, tuple(frame_uri(EncodedImages(view.images[key]), step) for step in shown)) for key in sorted(view.images)
    )
    said = [text for language in inspection.language for slots in view.texts.get(language.key, ()) for text in slots]
    instruction = next(filter(None, said), "")
    return Film(episode_id, view.steps, instruction, tuple(shown), strips)
