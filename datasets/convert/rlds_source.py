"""What conversions out of RLDS share."""

from collections.abc import Iterator

from embodied_cf.datasets.contract import Episode
from embodied_cf.datasets.episodes import EpisodeReader
from embodied_cf.datasets.rlds import RldsDataset, Shard
from embodied_cf.datasets.shards import read_records
from embodied_cf.errors import RecordError


def usable(dataset: RldsDataset, shard: Shard, reader: EpisodeReader) -> Iterator[tuple[int, Episode | None]]:
    """Yield (index, episode) of a shard; None for one that breaks the data contract, which relabelling quarantined.

    Raises RecordError if a record cannot be read at all.
    """
    for record in read_records(shard.path, dataset.file_format):
        try:
            yield record.index, reader.read(record.data, dataset.episode_id(shard, record.index))
        except RecordError:
            yield record.index, None
