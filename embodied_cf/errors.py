"""Named errors: what was wrong, where (file, record, key), what to do about it."""


class EmbodiedError(Exception):
    """Base of every error that a user can cause and mend; the command prints it as one message.

    `exit_code` is what the command returns: 2 for bad input or usage (see docs/cli.md).
    """

    exit_code = 2

    def __init__(self, what: str, *, where: object = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, str(where), remedy
        super().__init__(what, self.where, remedy)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f" {self.remedy}" if self.remedy else ""
        return printable(f"{place}{self.what}.{advice}")

    def __reduce__(self) -> tuple:
        return _rebuild, (type(self), self.what, self.where, self.remedy)


def printable(text: str) -> str:
    """Return text without what moves a terminal's cursor or cannot be written: data and servers put in anything."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in text)


def _rebuild(kind: type[EmbodiedError], what: str, where: str, remedy: str) -> EmbodiedError:
    return kind(what, where=where, remedy=remedy)


class UsageError(EmbodiedError):
    """The command or call asks for something impossible."""


class InstructionError(UsageError):
    """An instruction cannot be read, or names what is not there."""


class MissingLibraryError(EmbodiedError):
    """A package or a system library that the call needs is not installed."""


class DatasetError(EmbodiedError):
    """A directory is not the dataset it should be: metadata, shards, splits, keys."""


class RecordError(EmbodiedError):
    """One record is broken: framing, checksum, protobuf, or values that break the data contract."""


class SpecError(EmbodiedError):
    """A dataset specification or embodiment does not fit: absent key, unknown unit, wrong shape."""


class CheckpointError(EmbodiedError):
    """A directory is not the checkpoint it should be: absent, corrupted, or of another embodiment."""


class OutputError(EmbodiedError):
    """The output directory cannot be used or written: another run's, locked, full, read-only."""


class WorkerError(EmbodiedError):
    """A process that did a part of the run is gone."""


class ClusterError(EmbodiedError):
    """A Ray cluster cannot be joined, or its nodes cannot do the run's tasks."""


class VlmError(EmbodiedError):
    """A vision-language model could not be asked or gave no usable answer."""


class BudgetError(VlmError):
    """The request or cost budget is spent: the run stops cleanly and can be resumed."""
