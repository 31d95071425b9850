"""Web application of the live page: files, JSON interface and streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from edgessd.core.errors import EdgessdError
from edgessd.pipeline.live.access import Guard
from edgessd.pipeline.live.pictures import PicturesEndedError
from edgessd.pipeline.live.viewer import MjpegResponse, Viewer

if TYPE_CHECKING:
    from edgessd.pipeline.live.hub import Hub

STATIC = Path(__file__).parent / "static"
# Each viewer costs the bandwidth of one stream.
MOST_VIEWERS = 32
_LONGEST_BODY = 64 * 1024
_FRESH = {"Cache-Control": "no-store"}
Handler = Callable[[Request], Awaitable[Response]]


class ControlChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /api/controls`. A missing key leaves its setting unchanged.

    Attributes:
        score_threshold: Score threshold in [0, 1].
        classes: Labels to detect; null for all.
    """

    score_threshold: float | msgspec.UnsetType = msgspec.UNSET
    classes: list[str] | msgspec.UnsetType | None = msgspec.UNSET


def make_app(hub: Hub, *, token: str | None, cookie: str) -> Starlette:
    """Make the application.

    Args:
        hub: Contents of the page.
        token: See `Guard`.
        cookie: See `Guard`.
    """

    @asynccontextmanager
    async def sampling(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(hub.sample_each_second())
        yield
        task.cancel()

    routes = [
        Route("/", _page),
        Mount("/static", StaticFiles(directory=STATIC)),
        Route("/api/status", _with(hub, _status)),
        Route("/api/history", _with(hub, _history)),
        Route("/api/controls", _with(hub, _controls), methods=["GET", "POST"]),
        Route("/picture/{stream:int}.jpg", _with(hub, _picture)),
        Route("/stream/{stream:int}.mjpg", _with(hub, _mjpeg)),
        WebSocketRoute("/ws", _viewer(hub)),
    ]
    if hub.extras.metrics is not None:
        routes.append(Route("/metrics", _with(hub, _metrics)))
    guard = Middleware(Guard, token=token, cookie=cookie, token_page=STATIC / "token.html")
    return Starlette(routes=routes, middleware=[guard], lifespan=sampling)


async def _page(_: Request) -> Response:
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


async def _status(_: Request, hub: Hub) -> Response:
    return JSONResponse(await hub.status(), headers=_FRESH)


async def _history(_: Request, hub: Hub) -> Response:
    return JSONResponse({"samples": hub.history.samples()}, headers=_FRESH)


async def _controls(request: Request, hub: Hub) -> Response:
    if request.method == "POST":
        try:
            change = msgspec.json.decode(await _body(request), type=ControlChange)
            _apply(change, hub)
        except msgspec.MsgspecError as error:
            return _refusal(
                "The controls are invalid",
                found=str(error),
                expected='{"score_threshold": 0 to 1, "classes": [labels] or null}',
            )
        except EdgessdError as error:
            return _refusal(error.problem, found=error.found, expected=error.expected)
        hub.announce()
    return JSONResponse({**hub.control_values(), "labels": hub.labels()}, headers=_FRESH)


def _apply(change: ControlChange, hub: Hub) -> None:
    """Apply both settings, or neither if one is refused."""
    before = hub.controls.classes
    if change.classes is not msgspec.UNSET:
        hub.controls.classes = None if change.classes is None else frozenset(change.classes)
    try:
        if change.score_threshold is not msgspec.UNSET:
            hub.controls.score_threshold = change.score_threshold
    except EdgessdError:
        hub.controls.classes = before
        raise


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_BODY:
            raise msgspec.DecodeError(f"more than {_LONGEST_BODY} bytes")
    return body


async def _picture(request: Request, hub: Hub) -> Response:
    if (missing := _missing_stream(request, hub)) is not None:
        return missing
    try:
        picture = await asyncio.wait_for(
            hub.pictures.after(request.path_params["stream"], 0), hub.stall_seconds
        )
    except (PicturesEndedError, asyncio.TimeoutError):
        return _refusal("This stream gives no picture", status=503)
    return Response(picture.jpeg, media_type="image/jpeg", headers=_FRESH)


async def _mjpeg(request: Request, hub: Hub) -> Response:
    if (missing := _missing_stream(request, hub)) is not None:
        return missing
    if hub.viewers >= MOST_VIEWERS:
        return _refusal(
            "There are too many viewers", expected=f"at most {MOST_VIEWERS}", status=503
        )
    return _Counted(MjpegResponse(hub, request.path_params["stream"]), hub)


async def _metrics(_: Request, hub: Hub) -> Response:
    metrics = hub.extras.metrics
    assert metrics is not None
    text = await asyncio.to_thread(metrics.text)
    return Response(text, media_type=metrics.content_type, headers=_FRESH)


def _viewer(hub: Hub) -> Callable[[WebSocket], Awaitable[None]]:
    async def serve(websocket: WebSocket) -> None:
        if hub.viewers >= MOST_VIEWERS:
            await websocket.close(1013, f"at most {MOST_VIEWERS} viewers")
            return
        hub.viewers += 1
        try:
            await Viewer(websocket, hub).serve()
        finally:
            hub.viewers -= 1

    return serve


class _Counted(Response):
    """A stream that counts as a viewer while it is open."""

    def __init__(self, stream: MjpegResponse, hub: Hub) -> None:
        super().__init__()
        self._stream, self._hub = stream, hub

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        self._hub.viewers += 1
        try:
            await self._stream(scope, receive, send)
        finally:
            self._hub.viewers -= 1


def _with(hub: Hub, answer: Callable[[Request, Hub], Awaitable[Response]]) -> Handler:
    async def handler(request: Request) -> Response:
        return await answer(request, hub)

    return handler


def _missing_stream(request: Request, hub: Hub) -> Response | None:
    if request.path_params["stream"] < hub.stream_count:
        return None
    return _refusal("There is no such stream", expected=f"0 to {hub.stream_count - 1}", status=404)


def _refusal(
    problem: str, *, expected: str | None = None, found: str | None = None, status: int = 400
) -> JSONResponse:
    fields = {"problem": problem, "expected": expected, "found": found}
    return JSONResponse({"error": {key: text for key, text in fields.items() if text}}, status)
