"""Errors a user can act on. Each message is one line that names what was wrong and where."""


class PipelineError(Exception):
    """Base of every error that ends a command with one line and a non-zero exit code."""


class ConfigError(PipelineError):
    """A settings file, table or option holds something impossible."""


class ModelError(PipelineError):
    """A model folder is missing, damaged, or disagrees with the labels of this project."""


class ParityError(ModelError):
    """An exported model strays too far from the trained one; the model in use stays."""


class StoreError(PipelineError):
    """A file of the feature store is missing, damaged, or would be overwritten."""


class SessionError(PipelineError):
    """A date is malformed or is not a trading session."""


class RefusedDayError(PipelineError):
    """The day's data failed a required check; nothing was written."""


class FeedError(PipelineError):
    """One feed's answer cannot be read as headlines. Recorded, never fatal: the day goes on without the feed."""


class ArchiveError(PipelineError):
    """A headline archive cannot be read, or holds nothing that can be used."""


class EngineError(PipelineError):
    """The engine of a backfill cannot start, or one of its workers failed."""
