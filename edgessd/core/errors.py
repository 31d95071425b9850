"""Errors that a user can act on: what was expected, what was found, and the way out.

Every refusal of edgessd is an `EdgessdError`. The command line prints it as one paragraph and exits
with 1; a traceback appears only under `--debug`.
"""

from __future__ import annotations


class EdgessdError(Exception):
    """A refusal with its reason.

    Args:
        problem: What went wrong, as one sentence.
        expected: What would have been accepted.
        found: What was there instead.
        fix: The next thing to do, ideally a command.
    """

    def __init__(
        self,
        problem: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.problem = problem
        self.expected = expected
        self.found = found
        self.fix = fix
        super().__init__(self.paragraph())

    def paragraph(self) -> str:
        """The whole message as one paragraph."""
        sentences = [_sentence(self.problem)]
        if self.expected:
            sentences.append(_sentence(f"Expected {self.expected}"))
        if self.found:
            sentences.append(_sentence(f"Found {self.found}"))
        if self.fix:
            sentences.append(_sentence(self.fix))
        return " ".join(sentences)


class ConfigError(EdgessdError):
    """A configuration, recipe or target file that doesn't say what it must."""


class DataError(EdgessdError):
    """A dataset or image that can't be used."""


class CheckpointError(EdgessdError):
    """A file that isn't a checkpoint of a known layout, or doesn't fit its model."""


class TrainingError(EdgessdError):
    """A training that can't go on."""


class GraphError(EdgessdError):
    """A graph that can't be exported, verified or rewritten."""


class CalibrationError(EdgessdError):
    """A calibration set or table that can't give trustworthy ranges."""


class LoweringError(EdgessdError):
    """A graph that an engine format can't express."""


class ParityError(EdgessdError):
    """An engine that doesn't find what its float graph finds."""


class TargetError(EdgessdError):
    """An unknown target, or something the target can't do."""


class BundleError(EdgessdError):
    """A bundle whose files, hashes or contract don't hold."""


class BackendError(EdgessdError):
    """A runtime library that is missing or refuses the engine."""


class SourceError(EdgessdError):
    """A camera, video or image source that can't be opened or read."""


class SinkError(EdgessdError):
    """An output that can't be opened or written."""


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."
