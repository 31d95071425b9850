"""New splits have exact shares, keep copies together and depend on the images alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from edgessd.core.errors import ConfigError, DataError
from edgessd.core.files import sha256_of
from edgessd.data.dataset import load_dataset
from edgessd.data.resplit import resplit_dataset


def test_split_gives_exact_shares(shared: Path) -> None:
    dataset = load_dataset(shared / "data" / "voc100")
    divided = resplit_dataset(dataset, {"train": 0.7, "val": 0.1, "test": 0.2})
    counts = {name: len(images) for name, images in divided.splits.items()}
    assert counts == {"train": 70, "val": 10, "test": 20}


def test_split_keeps_copies_together(yolo: Path) -> None:
    train = yolo / "images" / "train"
    for number in (1, 2, 3):  # byte for byte
        (train / f"{number}.jpg").write_bytes((train / "0.jpg").read_bytes())
    picture = cv2.imread(str(train / "0.jpg"))  # and to the eye
    cv2.imwrite(str(yolo / "images" / "val" / "5.jpg"), cv2.resize(picture, (128, 96)))
    divided = resplit_dataset(load_dataset(yolo), {"train": 0.5, "val": 0.5})
    homes = {image.path.stem: name for name, images in divided.splits.items() for image in images}
    assert len(homes) == 10
    assert len({homes[str(number)] for number in (0, 1, 2, 3, 5)}) == 1
    assert all(divided.splits.values())


def test_split_depends_on_content_alone(yolo: Path) -> None:
    def hashes() -> dict[str, set[str]]:
        divided = resplit_dataset(load_dataset(yolo), {"train": 0.6, "val": 0.4})
        return {
            name: {sha256_of(image.path) for image in images}
            for name, images in divided.splits.items()
        }

    before = hashes()
    for folder in ("images", "labels"):
        for path in sorted((yolo / folder / "train").iterdir()):
            path.rename(path.with_stem(f"renamed{9 - int(path.stem)}"))
    assert hashes() == before


def test_split_refuses_invalid_shares_and_broken_images(yolo: Path) -> None:
    dataset = load_dataset(yolo)
    with pytest.raises(ConfigError, match="are invalid"):
        resplit_dataset(dataset, {"train": 0.8, "val": 0.1})
    content = (yolo / "images" / "train" / "0.jpg").read_bytes()
    (yolo / "images" / "train" / "0.jpg").write_bytes(content[:-200])
    with pytest.raises(DataError, match=r"broken images can't be split.*0\.jpg"):
        resplit_dataset(dataset, {"train": 0.8, "val": 0.2})
