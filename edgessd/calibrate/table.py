"""`CalibrationTable`: statistics of a calibration, from which recipes compute ranges.

One table serves every range method, both quantization schemes and every target.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgessd.calibrate.observers import TensorObserver
from edgessd.core.errors import CalibrationError
from edgessd.core.files import replacing, sha256_of_set

FORMAT_VERSION = 3

_SCALARS = (
    "minimum",
    "maximum",
    "mean_minimum",
    "mean_maximum",
    "deviation_minimum",
    "deviation_maximum",
    "bin_width",
    "first_bin",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class TensorStatistics:
    """Statistics of one tensor over the calibration images.

    Attributes:
        minimum: Smallest value of all images, exact.
        maximum: Largest value of all images, exact.
        mean_minimum: Mean of the images' smallest values.
        mean_maximum: Mean of the images' largest values.
        deviation_minimum: Standard deviation of the images' smallest values.
        deviation_maximum: Standard deviation of the images' largest values.
        bin_width: Width of the histogram's bins, a power of two.
        first_bin: Index of the first bin, which starts at first_bin * bin_width.
        counts: (bins,) int64, from equally many values of each image.
    """

    minimum: float
    maximum: float
    mean_minimum: float
    mean_maximum: float
    deviation_minimum: float
    deviation_maximum: float
    bin_width: float
    first_bin: int
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, observer: TensorObserver) -> TensorStatistics:
        """Copy the statistics of an observer."""
        return cls(
            minimum=observer.minimum,
            maximum=observer.maximum,
            mean_minimum=observer.minima.mean,
            mean_maximum=observer.maxima.mean,
            deviation_minimum=observer.minima.deviation,
            deviation_maximum=observer.maxima.deviation,
            bin_width=observer.histogram.width,
            first_bin=observer.histogram.first,
            counts=observer.histogram.counts.copy(),
        )

    @property
    def edges(self) -> NDArray[np.float64]:
        """Edges (bins + 1,) of the histogram."""
        bins = self.first_bin + np.arange(len(self.counts) + 1)
        return np.asarray(bins * self.bin_width, np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationTable:
    """Statistics of each tensor of a float graph, and the images that they come from.

    Attributes:
        tensors: Statistics by tensor name.
        images: Hex sha256 of each image file that was used, sorted.
        skipped: Reason by file, for images that couldn't be read.
        graph_sha256: `FloatGraph.sha256` of the graph that ran.
        halves: Mean minimum and maximum over every second image, by tensor name. If they differ much from
            those over all images, there are too few images.
        samples: Pixels (n, 3, H, W) uint8 of a few images at the network's size, for learned rounding and
            bias correction. They stay in this file and aren't part of an engine or bundle.
    """

    tensors: Mapping[str, TensorStatistics]
    images: tuple[str, ...]
    skipped: Mapping[str, str]
    graph_sha256: str
    halves: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    samples: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 3, 1, 1), np.uint8))

    @property
    def images_sha256(self) -> str:
        """Hex sha256 over the sorted hashes of the images, which identifies the calibration set."""
        return sha256_of_set(self.images)

    def __getitem__(self, name: str) -> TensorStatistics:
        if name not in self.tensors:
            raise CalibrationError(
                f"The calibration table has no statistics of tensor {name!r}",
                fix="Calibrate again with the graph that is being quantized.",
            )
        return self.tensors[name]

    def save(self, path: Path) -> None:
        """Write an .npz, whole or not at all."""
        header = {
            "format_version": FORMAT_VERSION,
            "tensors": list(self.tensors),
            "images": list(self.images),
            "skipped": dict(self.skipped),
            "graph_sha256": self.graph_sha256,
            "halves": {name: list(pair) for name, pair in self.halves.items()},
        }
        statistics = self.tensors.values()
        arrays: dict[str, Any] = {
            name: np.array([getattr(entry, name) for entry in statistics], np.float64)
            for name in _SCALARS
        }
        arrays["header"] = np.array(json.dumps(header))
        arrays["counts"] = np.stack([entry.counts for entry in statistics])
        arrays["samples"] = self.samples
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> CalibrationTable:
        """Read a file that `save` wrote.

        Raises:
            CalibrationError: The file is missing, damaged or of another version.
        """
        if not path.is_file():
            raise CalibrationError(f"There is no calibration table at {path}")
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            header = json.loads(str(arrays["header"]))
            if header["format_version"] != FORMAT_VERSION:
                raise ValueError(f"format version {header['format_version']}")
            return cls(
                tensors=_statistics(header["tensors"], arrays),
                images=tuple(header["images"]),
                skipped=header["skipped"],
                graph_sha256=header["graph_sha256"],
                halves={name: (low, high) for name, (low, high) in header["halves"].items()},
                samples=np.asarray(arrays["samples"], np.uint8),
            )
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise CalibrationError(
                f"{path} isn't a calibration table",
                expected=f"an .npz of format version {FORMAT_VERSION}",
                found=str(error),
                fix="Calibrate again.",
            ) from error


def _statistics(
    names: Sequence[str], arrays: Mapping[str, NDArray[np.generic]]
) -> dict[str, TensorStatistics]:
    if len(arrays["counts"]) != len(names):
        raise ValueError(f"{len(arrays['counts'])} histograms for {len(names)} tensors")
    tensors = {}
    for index, name in enumerate(names):
        scalars = {key: float(arrays[key][index]) for key in _SCALARS if key != "first_bin"}
        tensors[name] = TensorStatistics(
            **scalars,
            first_bin=int(arrays["first_bin"][index]),
            counts=np.asarray(arrays["counts"][index], np.int64),
        )
    return tensors
