"""Viewer of the live page: a browser that gets pictures as fast as it draws them, and a status a second.

Messages from a viewer: `{"type": "watch", "streams": [0, 1]}`, and `{"type": "drawn", "stream": 0}` for each
picture that it has drawn. Messages to a viewer: JSON texts with a `type` (`history` once, then `status`), and
binary pictures in the form of `Picture.message`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import anyio

from edgessd.pipeline.live.pictures import PicturesEndedError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send
    from starlette.websockets import WebSocket

    from edgessd.pipeline.live.hub import Hub

# Pictures under way: one is sent while the last is drawn. More would grow old in the network.
_IN_FLIGHT = 2


class Viewer:
    """Serves one WebSocket until it closes, the pipeline ends, or the browser stops reading.

    Args:
        websocket: WebSocket that isn't accepted yet.
        hub: Hub of the page.
    """

    def __init__(self, websocket: WebSocket, hub: Hub) -> None:
        self._websocket = websocket
        self._hub = hub
        self._sending = anyio.Lock()
        self._views = [_StreamView() for _ in range(hub.stream_count)]
        self._last_event = 0

    async def serve(self) -> None:
        """Serve until the viewer has gone."""
        await self._websocket.accept()
        async with anyio.create_task_group() as tasks:
            for task in (
                self._listen,
                self._send_status,
                *(self._picture_sender(number) for number in range(len(self._views))),
            ):
                tasks.start_soon(self._until_gone, task, tasks.cancel_scope)

    async def _until_gone(
        self, task: Callable[[], Awaitable[None]], others: anyio.CancelScope
    ) -> None:
        """Run one of the tasks; when it ends, cancel the others."""
        from starlette.websockets import WebSocketDisconnect

        try:
            await task()
        except (WebSocketDisconnect, PicturesEndedError):
            pass
        except TimeoutError:
            self._hub.log_stalled(self._websocket)
        others.cancel()

    async def _listen(self) -> None:
        async for text in self._websocket.iter_text():
            try:
                self._handle(json.loads(text))
            except (ValueError, KeyError, TypeError, IndexError):
                async with self._sending:  # no other task may send after the close
                    await self._websocket.close(1008, "not a message of this page")
                return

    def _handle(self, message: dict[str, Any]) -> None:
        if message["type"] == "watch":
            watched = {int(number) for number in message["streams"]}
            for number, view in enumerate(self._views):
                view.watch(number in watched)
        elif message["type"] == "drawn":
            number = int(message["stream"])
            if number < 0:
                raise IndexError(number)
            self._views[number].drawn()
        else:
            raise ValueError(message["type"])

    async def _send_status(self) -> None:
        await self._send_text({"type": "history", "samples": self._hub.history.samples()})
        while True:
            tick = self._hub.tick  # before the status is made, so that no change is missed
            events = self._hub.history.events_after(self._last_event)
            if events:
                self._last_event = events[-1]["number"]
            await self._send_text({"type": "status", **await self._hub.status(), "events": events})
            await tick.wait()

    def _picture_sender(self, number: int) -> Callable[[], Awaitable[None]]:
        async def send_pictures() -> None:
            view, seen = self._views[number], 0
            while True:
                await view.ready()
                picture = await self._hub.pictures.after(number, seen)
                seen = picture.sequence
                if view.take():
                    with anyio.fail_after(self._hub.stall_seconds):
                        async with self._sending:
                            await self._websocket.send_bytes(picture.message())

        return send_pictures

    async def _send_text(self, message: dict[str, Any]) -> None:
        with anyio.fail_after(self._hub.stall_seconds):
            async with self._sending:
                await self._websocket.send_text(json.dumps(message))


class _StreamView:
    """State of one stream at a viewer: watched or not, and room for further pictures."""

    def __init__(self) -> None:
        self._watched = False
        self._room = _IN_FLIGHT
        self._changed = anyio.Event()

    def watch(self, watched: bool) -> None:
        self._watched, self._room = watched, _IN_FLIGHT
        self._notify()

    def drawn(self) -> None:
        self._room = min(self._room + 1, _IN_FLIGHT)
        self._notify()

    async def ready(self) -> None:
        while not (self._watched and self._room):
            await self._changed.wait()

    def take(self) -> bool:
        """Use the room for one picture; return False if the viewer doesn't watch the stream any more."""
        if not (self._watched and self._room):
            return False
        self._room -= 1
        return True

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class MjpegResponse:
    """Pictures one after the other as `multipart/x-mixed-replace`, for VLC, Home Assistant or an <img>.

    Args:
        hub: Hub of the page.
        stream: Number of the source.
    """

    def __init__(self, hub: Hub, stream: int) -> None:
        self._hub = hub
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"multipart/x-mixed-replace; boundary=frame"),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with anyio.create_task_group() as tasks:

            async def until_gone() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(until_gone)
            try:
                await self._send_pictures(send)
            except PicturesEndedError:
                await send({"type": "http.response.body", "body": b"--frame--\r\n"})
            except TimeoutError:
                self._hub.log_stalled(None)
            tasks.cancel_scope.cancel()

    async def _send_pictures(self, send: Send) -> None:
        seen = 0
        while True:
            picture = await self._hub.pictures.after(self._stream, seen)
            seen = picture.sequence
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture.jpeg)}\r\n\r\n"
            body = head.encode() + picture.jpeg + b"\r\n"
            with anyio.fail_after(self._hub.stall_seconds):
                await send({"type": "http.response.body", "body": body, "more_body": True})
