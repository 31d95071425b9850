"""Serve an RTSP camera whose picture shows the time of capture. Needs the system's Python.

    time_code_server.py PORT WIDTH HEIGHT FPS

Needs python3-gi, gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good, -bad and -ugly (x264enc).
"""

from __future__ import annotations

import sys

import gi
import numpy as np
from time_code import draw, milliseconds

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402


class Camera:
    """Push each frame at its time."""

    def __init__(self, width: int, height: int, fps: int) -> None:
        rng = np.random.default_rng(1)
        coarse = rng.integers(60, 190, (height // 16 + 1, width // 16 + 1), np.uint8)
        self._ground = np.kron(coarse, np.ones((16, 16), np.uint8))[:height, :width]
        self._fps = fps
        self._count = 0

    def begin(self, media: GstRtspServer.RTSPMedia) -> None:
        source = media.get_element().get_by_name("camera")
        GLib.timeout_add(max(1, round(1000 / self._fps)), self._push, source)

    def _push(self, source: Gst.Element) -> bool:
        # The picture moves slightly, like noise and motion, so that the encoder has work.
        picture = np.roll(self._ground, 3 * self._count, axis=1).copy()
        self._count += 1
        draw(picture[..., None], milliseconds())
        buffer = Gst.Buffer.new_wrapped(picture.tobytes())
        return source.emit("push-buffer", buffer) == Gst.FlowReturn.OK


def main() -> None:
    port, width, height, fps = sys.argv[1:]
    Gst.init(None)
    camera = Camera(int(width), int(height), int(fps))
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        "( appsrc name=camera is-live=true do-timestamp=true format=time "
        f"caps=video/x-raw,format=GRAY8,width={width},height={height},framerate={fps}/1 "
        "! videoconvert ! video/x-raw,format=I420 "
        f"! x264enc tune=zerolatency speed-preset=ultrafast bitrate=4000 threads=1 key-int-max={fps} "
        "! rtph264pay name=pay0 pt=96 config-interval=-1 )"
    )
    factory.set_shared(True)
    factory.connect("media-configure", lambda _, media: camera.begin(media))
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    server.get_mount_points().add_factory("/camera", factory)
    if not server.attach(None):
        sys.exit(f"port {port} is taken")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
