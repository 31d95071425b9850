"""`edgessd run --list`: the cameras of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgessd.cli.console import people, print_json

if TYPE_CHECKING:
    from edgessd.pipeline.sources.camera import ListedCamera

# Number of unusable formats that are named.
_SHOWN = 8


def list_machine_cameras(*, as_json: bool) -> None:
    """Print every camera with its formats, sizes and rates, or that there is none."""
    from edgessd.pipeline.sources.camera import describe_cameras

    cameras = describe_cameras()
    csi, csi_problem = _csi_cameras()
    if as_json:
        print_json(
            {
                "cameras": [_described(camera) for camera in cameras],
                "csi": [{"source": f"csi:{n}", "name": name} for n, name in csi.items()],
            }
        )
        return
    console = people()
    for camera in cameras:
        _print(camera)
    for number, name in csi.items():
        console.print(f"[bold]--source csi:{number}[/bold]  {name}")
    if csi_problem:
        console.print(csi_problem, style="yellow")
    if not cameras and not csi:
        console.print(
            "This machine has no camera. Plug one in, or use --source with a file, a URL, or "
            "pattern: for a generated picture."
        )


def _csi_cameras() -> tuple[dict[int, str], str]:
    """Return the CSI cameras of a Raspberry Pi, and the reason if they can't be listed.

    A Jetson has no list of the cameras that are connected.
    """
    from edgessd.core.errors import SourceError
    from edgessd.pipeline.sources.raspberry_pi import list_csi_cameras
    from edgessd.target.detect import detect_machine

    if not detect_machine().target.startswith("raspberry-pi"):
        return {}, ""
    try:
        return list_csi_cameras(), ""
    except SourceError as error:
        return {}, str(error)


def _described(camera: ListedCamera) -> dict[str, Any]:
    device = camera.device
    return {
        "source": f"camera:{camera.number}",
        "name": device.card if device else camera.name,
        "driver": device.driver if device else None,
        "bus": device.bus if device else None,
        "problem": camera.problem or None,
        "modes": [
            {
                "format": mode.pixel_format.strip(),
                "width": mode.width,
                "height": mode.height,
                "fps": list(mode.rates),
                "usable": mode.usable,
            }
            for mode in (device.modes if device else ())
        ],
    }


def _print(camera: ListedCamera) -> None:
    from rich.table import Table
    from rich.text import Text

    console = people()
    device = camera.device
    title = Text.assemble((f"--camera {camera.number}", "bold"), f"  {camera.name}")
    if device is not None:
        title.append(f"  ({device.driver}, {device.bus})", style="dim")
    console.print(title)
    if camera.problem:
        console.print(f"  {camera.problem}", style="yellow", markup=False)
    if device is None or not device.modes:
        return
    table = Table(box=None, pad_edge=True, header_style="dim")
    for column in ("format", "size", "FPS"):
        table.add_column(column)
    usable = [mode for mode in device.modes if mode.usable]
    for mode in usable:
        rates = " ".join(f"{rate:g}" for rate in mode.rates)
        table.add_row(mode.pixel_format.strip(), f"{mode.width}x{mode.height}", rates or "–")
    if usable:
        console.print(table)
    others = dict.fromkeys(mode.pixel_format.strip() for mode in device.modes if not mode.usable)
    if others:
        shown = ", ".join([*others][:_SHOWN]) + (", …" if len(others) > _SHOWN else "")
        console.print(f"  and, which OpenCV doesn't decode: {shown}", style="dim", markup=False)
