"""Errors of failed builds, and notes on the DLA."""

from __future__ import annotations

from pathlib import Path

from edgessd.runtime.tensorrt.compiled_engine import build_failure, dla_notes
from edgessd.runtime.tensorrt.layer_report import LayerReport
from edgessd.runtime.tensorrt.options import EngineOptions
from edgessd.runtime.tensorrt.provider import Provider

INT8 = EngineOptions(precision="int8", compute_capabilities=("8.6",))


def test_a_build_out_of_memory_gets_a_way_out(rtx: Provider) -> None:
    found = (
        "[virtualMemoryBuffer.cpp::resizePhysical::127] Error Code 2: OutOfMemory (no further info)"
    )
    error = build_failure(rtx, found, None, EngineOptions(precision="int8", workspace_mb=512))
    assert found in str(error)
    assert "512 MiB" in str(error)
    assert "add swap" in str(error)


def test_a_failed_build_names_its_log(rtx: Provider) -> None:
    error = build_failure(rtx, "Error Code 10", Path("x.log"), EngineOptions(precision="int8"))
    assert "Read the log x.log" in str(error)


def test_a_dla_without_layers_is_noted() -> None:
    int8 = EngineOptions(precision="int8", dla_core=0)
    fp16 = EngineOptions(precision="fp16", dla_core=0)
    idle = LayerReport(layers={"INT8": ("conv",)})
    busy = LayerReport(layers={"DLA": ("conv",)})
    for report in (idle, None):
        assert "edgessd build --precision fp16" in dla_notes(report, int8)[0]
    assert "No layer fits the DLA" in dla_notes(idle, fp16)[0]
    assert dla_notes(None, fp16) == dla_notes(busy, fp16) == dla_notes(busy, int8) == ()
    assert dla_notes(idle, EngineOptions(precision="int8")) == ()
