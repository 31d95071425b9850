"""`ObservedGraph`: the input and output of every float pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import onnx

from edgessd.calibrate.calibration_set import Pixels
from edgessd.calibrate.channels import ChannelStatistics, collect_channels
from edgessd.core.contract import Contract
from edgessd.core.errors import CalibrationError
from edgessd.graph.float_graph import FloatGraph
from edgessd.graph.verify import checked


@dataclass(frozen=True, kw_only=True)
class ObservedGraph:
    """A float graph and the calibration images on which a pass may observe its channels.

    Attributes:
        graph: Float graph.
        samples: Pixels (n, 3, H, W) of a few calibration images.
        known_channels: Statistics of the graph's channels if the pass that made the graph knows them.
    """

    graph: FloatGraph
    samples: Pixels
    known_channels: Mapping[str, ChannelStatistics] | None = None

    @cached_property
    def channels(self) -> Mapping[str, ChannelStatistics]:
        """Statistics of the graph's channels by tensor name, computed when a pass first needs them.

        Raises:
            CalibrationError: There are no samples.
        """
        if self.known_channels is not None:
            return self.known_channels
        if not len(self.samples):
            raise CalibrationError(
                "The recipe's float passes need calibration images, and none could be read",
                fix="Give a folder of images, or a recipe without a [float_passes] section.",
            )
        return collect_channels(self.graph, self.samples)

    def rewritten(
        self,
        model: onnx.ModelProto,
        *,
        by: str,
        contract: Contract | None = None,
        channels: Mapping[str, ChannelStatistics] | None = None,
    ) -> ObservedGraph:
        """Return the outcome of a pass, after the checks of `graph.verify.checked`.

        Args:
            model: Rewritten model.
            by: Name of the pass.
            contract: Contract of the model; None if it stays as it is.
            channels: Statistics of the model's channels; None if they have to be computed again.
        """
        graph = FloatGraph(
            model=checked(model, after=by),
            contract=self.graph.contract if contract is None else contract,
        )
        return ObservedGraph(graph=graph, samples=self.samples, known_channels=channels)
