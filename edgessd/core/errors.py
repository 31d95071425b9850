"""Errors that state what was expected, what was found, and a way out.

Every refusal of edgessd is an `EdgessdError`. The command line prints it as one paragraph and exits
with 1; a traceback appears only under `--debug`.
"""

from __future__ import annotations


class EdgessdError(Exception):
    """Error with its reason and a way out.

    Args:
        problem: Failure in one sentence.
        expected: Input that would have been accepted.
        found: Input that was found instead.
        fix: Next step, ideally a command.
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
        """Join the parts of the message into one paragraph."""
        sentences = [_sentence(self.problem)]
        if self.expected:
            sentences.append(_sentence(f"Expected {self.expected}"))
        if self.found:
            sentences.append(_sentence(f"Found {self.found}"))
        if self.fix:
            sentences.append(_sentence(self.fix))
        return " ".join(sentences)


class ConfigError(EdgessdError):
    """A configuration, recipe or target file with a wrong, unknown or missing value."""


class DataError(EdgessdError):
    """A dataset or image that can't be used."""


class CheckpointError(EdgessdError):
    """A file that isn't a checkpoint of a known layout, or doesn't fit its model."""


class TrainingError(EdgessdError):
    """A training that can't go on."""


class GraphError(EdgessdError):
    """A graph that can't be exported, verified or rewritten."""


class CalibrationError(EdgessdError):
    """A calibration set or table whose ranges can't be trusted."""


class LoweringError(EdgessdError):
    """A graph that an engine format can't express."""


class ParityError(EdgessdError):
    """An engine whose detections differ from those of its float graph."""


class TargetError(EdgessdError):
    """An unknown target, or something the target can't do."""


class BundleError(EdgessdError):
    """A bundle whose manifest, files or contract are wrong."""


class BackendError(EdgessdError):
    """A runtime library that is missing or refuses the engine."""


class SourceError(EdgessdError):
    """A camera, video or image source that can't be opened or read."""


class SinkError(EdgessdError):
    """An output that can't be opened or written."""


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."
