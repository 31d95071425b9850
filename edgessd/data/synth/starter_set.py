"""Write the calibration images that ship with edgessd: python -m edgessd.data.synth.starter_set DIR

The scenes have a seed of their own, so none of them is in a dataset that the starter model was trained or
tested on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2

from edgessd.data.synth.generate import SceneSettings, render_indexed

IMAGES = 64
SEED = 640_064_640
SETTINGS = SceneSettings(size=(320, 320), vary_aspect=True)
_QUALITY = 82


def write_starter_set(folder: Path) -> None:
    """Write 64 JPEG files, 000.jpg to 063.jpg, in aspect ratios of cameras, with the area of 320x320."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(IMAGES):
        image = render_indexed(SETTINGS, SEED, index).image
        options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
        _, data = cv2.imencode(".jpg", image, options)
        (folder / f"{index:03d}.jpg").write_bytes(data.tobytes())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Write the calibration images that ship with edgessd."
    )
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="Folder of the images; made if missing."
    )
    write_starter_set(parser.parse_args().folder)
