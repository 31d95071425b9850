"""Open the source at an address: a camera, file, folder, URL, pipeline or test pattern."""

from __future__ import annotations

import os
from collections.abc import Callable
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

from edgessd.core.errors import ConfigError, SourceError
from edgessd.core.images import IMAGE_SUFFIXES
from edgessd.pipeline.options.source import SourceOptions
from edgessd.pipeline.sources.credentials import CredentialVariables, masked, with_credentials
from edgessd.pipeline.sources.source import Source

if TYPE_CHECKING:
    from edgessd.pipeline.sources.network import NetworkSource
    from edgessd.pipeline.sources.video import VideoSource
    from edgessd.target.spec import CameraSpec

# Keys of a camera's address, and the options that they set.
_CAMERA_KEYS: dict[str, Callable[[str], dict[str, Any]]] = {
    "width": lambda value: {"width": int(value)},
    "height": lambda value: {"height": int(value)},
    "fps": lambda value: {"fps": float(value)},
    "format": lambda value: {"pixel_format": value or None},
}


def open_source(source: str | SourceOptions) -> Source:
    """Open a camera, file, folder, glob pattern, URL, pipeline or test pattern.

    Args:
        source: An address, or options with one. Addresses are `photo.jpg`, `folder/`, `folder/*.png`,
            `film.mp4`, `rtsp://…`, `http://…`, `camera:N`,
            `camera:N?width=1280&height=720&fps=30&format=MJPG`, `csi:N`,
            `csi:N?width=1280&height=720&fps=30`, `gst:… ! appsink`, `pattern:` and
            `pattern:640x480@30`. Settings in an address override those of the options.

    Raises:
        SourceError: The source is missing or can't be decoded.
        ConfigError: The environment variable with the address isn't set.
    """
    options = SourceOptions(address=source) if isinstance(source, str) else source
    text = options.located(os.environ)
    kind, colon, _ = text.partition(":")
    if colon and kind == "pattern":
        from edgessd.pipeline.sources.pattern import PatternSource

        return PatternSource(text)
    if colon and kind == "camera":
        return _open_camera(text, options)
    if colon and kind == "csi":
        return _open_csi(text, options)
    if colon and kind == "gst":
        return _open_gstreamer(text.removeprefix("gst:"), options)
    if "://" in text:
        return _open_stream(text, _this_machine()[1], options)
    return _open_file(text, options)


def _open_camera(text: str, options: SourceOptions) -> Source:
    from edgessd.pipeline.sources.camera import CameraSource

    number, options = _camera_options(text, options)
    return _reconnecting(
        lambda: CameraSource(
            number,
            width=options.width,
            height=options.height,
            fps=options.fps,
            pixel_format=options.pixel_format,
        ),
        name=f"camera {number}",
        options=options,
    )


def _open_csi(text: str, options: SourceOptions) -> Source:
    from edgessd.pipeline.sources.csi import open_csi

    here, camera = _this_machine()
    return _reconnecting(
        lambda: open_csi(text, camera, here=here, options=options),
        name=text.split("?")[0],
        options=options,
    )


def _open_gstreamer(pipeline: str, options: SourceOptions) -> Source:
    from edgessd.pipeline.sources.gstreamer import GStreamerSource, is_endless

    endless = is_endless(pipeline)
    if not endless:
        return GStreamerSource(pipeline)
    words = pipeline.split()
    return _reconnecting(
        lambda: GStreamerSource(pipeline, endless=True),
        name=masked(f"gst:{words[0] if words else ''}"),
        options=options,
    )


def _open_stream(url: str, camera: CameraSpec, options: SourceOptions) -> Source:
    """Open a URL: a stream is reconnected when it breaks off, a file on a server is played once."""
    first: list[Source] = []
    try:
        first.append(open_video(url, camera, options))
    except SourceError:
        if not options.wait:
            raise
    if first and not first[0].live:
        return _played(lambda: first.pop() if first else open_video(url, camera, options), options)
    return _reconnecting(
        lambda: first.pop() if first else open_video(url, camera, options),
        name=masked(url),
        options=options,
    )


def _open_file(text: str, options: SourceOptions) -> Source:
    if is_images(text):
        from edgessd.pipeline.sources.images import ImageSource

        return _played(lambda: ImageSource(text, _matching_images(text)), options)
    camera = _this_machine()[1]
    return _played(lambda: open_video(text, camera), options)


def open_video(location: str, camera: CameraSpec, options: SourceOptions | None = None) -> Source:
    """Open a video file or URL with the device's hardware decoder if its target has a pipeline for it.

    The hardware doesn't decode every codec, and OpenCV may lack GStreamer. FFmpeg opens the rest. The
    source's `decoder` names the decoder in use.
    """
    from edgessd.pipeline.sources.gstreamer import GStreamerSource, gstreamer_usable, quoted

    options = options or SourceOptions(address=location)
    live = "://" in location
    pipeline = camera.stream if live else camera.file
    refused = ""
    if pipeline and (live or Path(location).is_file()) and gstreamer_usable():
        filled = (
            stream_pipeline(pipeline, location, options)
            if live
            else pipeline.format(path=quoted(location))
        )
        try:
            return GStreamerSource(filled, name=location, live=live, endless=live)
        except SourceError as error:
            refused = f"; GStreamer refused: {error.found or error.problem}"
    source = _with_ffmpeg(location, options, live=live)
    source.decoder += refused
    return source


def stream_pipeline(pipeline: str, url: str, options: SourceOptions) -> str:
    """Fill a URL into the device's pipeline.

    For RTSP the pipeline gets its own `rtspsrc`, because the one that `uridecodebin` makes delays every
    frame by two seconds.
    """
    from edgessd.pipeline.sources.gstreamer import quoted

    uri = quoted(with_credentials(url, _credentials(options)))
    if url.startswith(("rtsp://", "rtsps://")):
        rtsp = (
            f"rtspsrc location={uri} protocols={options.rtsp_transport} latency=100 drop-on-latency=true "
            "! application/x-rtp,media=video ! decodebin"
        )
        pipeline = pipeline.replace("uridecodebin uri={uri}", rtsp)
    return pipeline.replace("{uri}", uri)


def is_images(text: str) -> bool:
    """Check that a text names images: a folder, an image's suffix, or a glob pattern that isn't a file."""
    path = Path(text)
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    return any(character in text for character in "*?[") and not path.exists()


def _with_ffmpeg(
    location: str, options: SourceOptions, *, live: bool
) -> VideoSource | NetworkSource:
    if not live:
        from edgessd.pipeline.sources.video import VideoSource

        return VideoSource(location)
    from edgessd.pipeline.sources.network import NetworkSource

    return NetworkSource(
        location,
        rtsp_transport=options.rtsp_transport,
        credentials=_credentials(options),
        open_seconds=options.open_seconds,
        read_seconds=options.stall_seconds,
        catch_up=options.reconnect,
    )


def _credentials(options: SourceOptions) -> CredentialVariables:
    return CredentialVariables(options.username_env, options.password_env)


def _reconnecting(open_it: Callable[[], Source], *, name: str, options: SourceOptions) -> Source:
    """Open a live source; with `reconnect`, one that is opened again when it breaks off."""
    if not options.reconnect:
        return open_it()
    from edgessd.pipeline.sources.reconnect import ReconnectingSource

    return ReconnectingSource(
        open_it,
        name=name,
        stall_seconds=options.stall_seconds,
        freeze_seconds=options.freeze_seconds,
        open_seconds=2 * options.open_seconds,
        wait=options.wait,
    )


def _played(open_it: Callable[[], Source], options: SourceOptions) -> Source:
    """Open a file; with `pace` or `loop`, one that is played at its own speed or repeated."""
    if not (options.pace or options.loop):
        return open_it()
    from edgessd.pipeline.sources.playback import PlaybackSource

    return PlaybackSource(open_it, pace=options.pace, loop=options.loop, fps=options.fps)


def _camera_options(text: str, options: SourceOptions) -> tuple[int, SourceOptions]:
    """Read `camera:N?…`; keys that it doesn't have keep their value in the options."""
    number, question, query = text.removeprefix("camera:").partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    if not number.isdecimal() or (question and not pairs):
        raise _wrong_camera(text, query if number.isdecimal() else number)
    for key, value in pairs:
        try:
            options = msgspec.structs.replace(options, **_CAMERA_KEYS[key](value))
        except (KeyError, ValueError, ConfigError) as error:  # noqa: PERF203 - four keys at most
            raise _wrong_camera(text, f"{key}={value}") from error
    return int(number), options


def _wrong_camera(text: str, found: str) -> SourceError:
    return SourceError(
        f"{text} isn't a camera",
        expected="camera:N, or camera:N?width=1280&height=720&fps=30&format=MJPG",
        found=found or "nothing",
        fix="`edgessd run --list` shows the cameras of this machine.",
    )


def _this_machine() -> tuple[str, CameraSpec]:
    """Return the name and the camera pipelines of this machine's target."""
    from edgessd.target.detect import detect_machine
    from edgessd.target.load import load_target

    target = detect_machine().target
    return target, load_target(target).camera


def _matching_images(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        found = list(path.iterdir())
    elif path.exists():
        found = [path]
    else:
        found = [Path(name) for name in glob(text, recursive=True)]
        if not found:
            raise SourceError(
                f"There is no image {text}",
                expected="an image, a folder of images or a glob pattern",
                fix="Check the path; `--camera N` reads a camera.",
            )
    return sorted(p for p in found if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
