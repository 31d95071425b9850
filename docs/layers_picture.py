"""Draw docs/layers.svg: the packages in their layers, and the way of the data through them.

Run it with `python docs/layers_picture.py`. A test compares the picture with the script and the names of the
packages with the import contract in pyproject.toml.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

OUT = Path(__file__).parent / "layers.svg"

WIDTH = 1236
MARGIN = 28
TOP = 96
LANE = 46
WALL = 58
FLOW_LEFT = 468
STEP = 71
BOX_HEIGHT = 34

INK, GRAY, LINE = "#1b2733", "#5d6b7a", "#d9e0e8"
GROUND, HOST, DEVICE = "#ffffff", "#f3f6fb", "#eefaf4"
BLUE, GREEN, RED = "#2563c9", "#11805a", "#b4413c"

# Packages from the top layer to the bottom one; those of one lane don't import each other.
HOST_LANES = (
    ("cli", "one file a command"),
    ("train", "augmentation, loss, loop, QAT"),
    ("build", "workflow of one build, parity gate"),
    ("lower", "quantized graph → engine bytes"),
    ("quantize", "float passes, scales, Q/DQ graph"),
    ("calibrate", "statistics of every tensor"),
    ("graph", "checkpoint → float ONNX"),
    ("model", "backbones, SSDLite, importers"),
)
DEVICE_LANES = (
    ("data", "COCO, VOC, YOLO, audit"),
    ("bench", "latency, accuracy, report"),
    ("pipeline", "sources, tracking, sinks, live page"),
    ("runtime", "backends, the Detector"),
    ("metrics | bundle", "AP, agreement · manifest, store"),
    ("target", "description of each device"),
    ("core", "boxes, anchors, pixels, NMS, errors"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """One value on its way, drawn in the lane of the package that makes it.

    Attributes:
        lane: Package name as in the lanes.
        column: Place in the order of the flow, from 0.
        title: Name of the value.
        form: Its form on disk, or what it holds.
        color: Color of the frame.
    """

    lane: str
    column: float
    title: str
    form: str
    color: str = BLUE


WORKSTATION = (
    Value(lane="data", column=0, title="Dataset", form="images, boxes"),
    Value(lane="train", column=1.1, title="Checkpoint", form=".pt"),
    Value(lane="graph", column=2.2, title="FloatGraph", form=".onnx"),
    Value(lane="quantize", column=3.3, title="float passes", form="same answers"),
    Value(lane="calibrate", column=4.4, title="Table", form=".npz"),
    Value(lane="quantize", column=5.5, title="QuantGraph", form="Q/DQ .onnx"),
    Value(lane="lower", column=6.6, title="Engine", form=".tflite, plan"),
    Value(lane="build", column=7.7, title="parity gate", form="or no bundle"),
)
BUNDLE = Value(lane="metrics | bundle", column=8.8, title="Bundle", form="a folder", color=GREEN)
DETECTIONS = Value(
    lane="runtime", column=6.85, title="Detections", form="boxes, scores", color=GREEN
)
RESULT = Value(lane="pipeline", column=4.4, title="Result", form="tracks, events", color=GREEN)
SOURCES = Value(lane="pipeline", column=0, title="Sources", form="camera, file", color=GREEN)
SINKS = Value(lane="pipeline", column=2.2, title="Sinks", form="MQTT, MP4 …", color=GREEN)
REPORT = Value(lane="bench", column=7.85, title="Report", form="AP, ms, FPS", color=GREEN)
DEVICE_VALUES = (BUNDLE, DETECTIONS, RESULT, SOURCES, SINKS, REPORT)
BOX_WIDTH = 98

# Facts that many stages read, drawn across their lane.
SHARED = (
    ("target", "Target", "device, engine format, quantization scheme: one TOML file each"),
    (
        "core",
        "Contract",
        "preprocessing, anchors, box code, NMS, labels: carried from checkpoint to bundle",
    ),
)


def lane_top(name: str) -> int:
    """Return the y of a lane's upper edge."""
    hosts = [lane for lane, _ in HOST_LANES]
    if name in hosts:
        return TOP + hosts.index(name) * LANE
    devices = [lane for lane, _ in DEVICE_LANES]
    return TOP + len(hosts) * LANE + WALL + devices.index(name) * LANE


def text(
    x: float, y: float, content: str, *, size: float = 13, color: str = INK, extra: str = ""
) -> str:
    """Return one line of text."""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{color}"{extra and " " + extra}>'
        f"{escape(content)}</text>"
    )


def draw_lane(name: str, job: str) -> list[str]:
    """Return the label of one lane and the line below it."""
    y = lane_top(name)
    return [
        text(MARGIN + 40, y + 28, name, size=14.5, extra='class="mono" font-weight="600"'),
        text(MARGIN + 194, y + 28, job, size=12.5, color=GRAY),
        f'<path d="M{MARGIN + 28} {y + LANE}H{WIDTH - MARGIN}" stroke="{LINE}"/>',
    ]


def center(value: Value) -> tuple[float, float]:
    """Return the middle of a value's box."""
    x = FLOW_LEFT + value.column * STEP + BOX_WIDTH / 2
    return x, lane_top(value.lane) + LANE / 2


def draw_value(value: Value) -> list[str]:
    """Return the box of one value."""
    x, y = center(value)
    middle = 'text-anchor="middle"'
    return [
        f'<rect x="{x - BOX_WIDTH / 2:g}" y="{y - BOX_HEIGHT / 2:g}" width="{BOX_WIDTH}" '
        f'height="{BOX_HEIGHT}" rx="7" fill="{GROUND}" stroke="{value.color}" stroke-width="1.6"/>',
        text(x, y - 1.5, value.title, size=12.5, extra=f'{middle} font-weight="600"'),
        text(x, y + 11.5, value.form, size=10.5, color=GRAY, extra=middle),
    ]


def arrow(path: str, color: str) -> str:
    """Return an arrow along a path."""
    tip = "blue" if color == BLUE else "green"
    return (
        f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.8" '
        f'marker-end="url(#{tip})"/>'
    )


def connect(start: Value, end: Value) -> str:
    """Return the arrow from one value to the next: out at the side, in at the top or bottom."""
    (x1, y1), (x2, y2) = center(start), center(end)
    half, gap = BOX_HEIGHT / 2, 4
    color = GREEN if GREEN in (end.color, start.color) else BLUE
    side = BOX_WIDTH / 2 if x2 > x1 else -BOX_WIDTH / 2
    if y1 == y2:
        return arrow(f"M{x1 + side:g} {y1:g}H{x2 - side - (gap if side > 0 else -gap):g}", color)
    down = y2 > y1
    turn = 9 if x2 > x1 else -9
    bend = 9 if down else -9
    return arrow(
        f"M{x1 + side:g} {y1:g}H{x2 - turn:g}Q{x2:g} {y1:g} {x2:g} {y1 + bend:g}"
        f"V{y2 - half - gap if down else y2 + half + gap:g}",
        color,
    )


def draw() -> str:
    """Return the whole picture."""
    wall_top = TOP + len(HOST_LANES) * LANE
    device_top = wall_top + WALL
    bottom = device_top + len(DEVICE_LANES) * LANE
    height = bottom + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-labelledby="title">',
        '<title id="title">The packages of edgessd in layers, and the way of the data</title>',
        "<style>text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}"
        ".mono{font-family:ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace}</style>",
        "<defs>",
        *(
            f'<marker id="{name}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="5.5" '
            f'markerHeight="5.5" orient="auto"><path d="M0 0L8 4L0 8Z" fill="{color}"/></marker>'
            for name, color in (("blue", BLUE), ("green", GREEN), ("gray", GRAY))
        ),
        "</defs>",
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="14" fill="{GROUND}" '
        f'stroke="{LINE}"/>',
        text(MARGIN + 28, 46, "Layers of the package", size=19, extra='font-weight="600"'),
        text(MARGIN + 28, 68, "imports go downward only", size=13, color=GRAY),
        text(FLOW_LEFT, 46, "The way of the data", size=19, extra='font-weight="600"'),
        text(FLOW_LEFT, 68, "each stage takes one typed value and gives one", size=13, color=GRAY),
        f'<rect x="{MARGIN + 28}" y="{TOP}" width="{WIDTH - 2 * MARGIN - 28}" '
        f'height="{len(HOST_LANES) * LANE}" rx="8" fill="{HOST}"/>',
        f'<rect x="{MARGIN + 28}" y="{device_top}" width="{WIDTH - 2 * MARGIN - 28}" '
        f'height="{len(DEVICE_LANES) * LANE}" rx="8" fill="{DEVICE}"/>',
    ]
    for lanes in (HOST_LANES, DEVICE_LANES):
        for index, (name, job) in enumerate(lanes):
            drawn = draw_lane(name, job)
            parts += drawn[:-1] if index == len(lanes) - 1 else drawn
    wall = wall_top + WALL / 2
    parts += [
        f'<path d="M{MARGIN + 28} {wall - 3}H{WIDTH - MARGIN}M{MARGIN + 28} {wall + 3}H{WIDTH - MARGIN}" '
        f'stroke="{RED}" stroke-width="2"/>',
        text(MARGIN + 40, wall - 11, "workstation", size=12, color=GRAY),
        text(
            MARGIN + 40,
            wall + 20,
            "device and workstation: no torch, no onnx below this wall",
            size=12,
            color=GRAY,
        ),
        f'<path d="M{MARGIN + 10} {TOP + 4}V{bottom - 6}" stroke="{GRAY}" stroke-width="1.6" '
        'marker-end="url(#gray)"/>',
    ]
    way = (*WORKSTATION, BUNDLE, DETECTIONS, REPORT)
    parts += [connect(start, end) for start, end in pairwise(way)]
    parts += [source_arrow(), result_arrow(), connect(RESULT, SINKS)]
    for value in (*WORKSTATION, *DEVICE_VALUES):
        parts += draw_value(value)
    for shared in SHARED:
        parts += draw_shared(*shared)
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def source_arrow() -> str:
    """Return the arrow from the sources through the lane of the runtime to the detections."""
    (x1, y1), (x2, y2) = center(SOURCES), center(DETECTIONS)
    return arrow(
        f"M{x1:g} {y1 + BOX_HEIGHT / 2:g}V{y2 - 9:g}Q{x1:g} {y2:g} {x1 + 9:g} {y2:g}"
        f"H{x2 - BOX_WIDTH / 2 - 4:g}",
        GREEN,
    )


def result_arrow() -> str:
    """Return the arrow from the detections up into the lane of the pipeline and to the result."""
    (x1, y1), (x2, y2) = center(DETECTIONS), center(RESULT)
    return arrow(
        f"M{x1:g} {y1 - BOX_HEIGHT / 2:g}V{y2 + 9:g}Q{x1:g} {y2:g} {x1 - 9:g} {y2:g}"
        f"H{x2 + BOX_WIDTH / 2 + 4:g}",
        GREEN,
    )


def draw_shared(lane: str, title: str, content: str) -> list[str]:
    """Return the wide box of a fact that many stages read."""
    y = lane_top(lane) + LANE / 2
    width = WIDTH - MARGIN - 14 - FLOW_LEFT
    return [
        f'<rect x="{FLOW_LEFT}" y="{y - BOX_HEIGHT / 2:g}" width="{width}" height="{BOX_HEIGHT}" '
        f'rx="7" fill="{GROUND}" stroke="{GRAY}" stroke-width="1.2" stroke-dasharray="5 4"/>',
        text(FLOW_LEFT + 16, y + 4.5, title, size=12.5, extra='font-weight="600"'),
        text(FLOW_LEFT + 96, y + 4.5, content, size=12.5, color=GRAY),
    ]


if __name__ == "__main__":
    OUT.write_text(draw())
    print(OUT)
