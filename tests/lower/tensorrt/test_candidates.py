"""The best candidates of each label, as operators."""

from __future__ import annotations

import msgspec
import pytest

from edgessd.core.errors import LoweringError
from edgessd.lower.tensorrt.candidates import TOPK_LIMIT, best_candidates
from edgessd.lower.tensorrt.op_writer import OpWriter
from edgessd.model.new_detector import new_detector

_, CONTRACT = new_detector(("a", "b", "c"), width=0.35, input_size=(160, 128))


@pytest.mark.parametrize(
    ("limit", "in_contract", "count"),
    [(50, 400, 50), (5000, 60, 60), (5000, 10**6, CONTRACT.anchors.count)],
)
def test_the_smallest_limit_decides_the_number_of_candidates(
    limit: int, in_contract: int, count: int
) -> None:
    nms = msgspec.structs.replace(CONTRACT.nms, max_candidates=in_contract)
    contract = msgspec.structs.replace(CONTRACT, nms=nms)
    found = best_candidates(OpWriter(public=()), contract, limit=limit)
    assert (found.labels, found.count) == (3, count)
    assert found.iou_threshold == contract.nms.iou_threshold


def test_more_detections_than_tensorrt_can_sort_are_refused() -> None:
    nms = msgspec.structs.replace(CONTRACT.nms, max_detections=TOPK_LIMIT + 1)
    contract = msgspec.structs.replace(CONTRACT, nms=nms)
    with pytest.raises(LoweringError, match=r"up to 3840.*--postprocess raw"):
        best_candidates(OpWriter(public=()), contract, limit=100)
