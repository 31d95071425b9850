"""A camera that sends Motion JPEG over HTTP, as cheap cameras and `mjpg-streamer` do.

    mjpeg_server.py PORT FPS [USER PASSWORD]

Picture n has n in it as sixteen black and white squares. Prints `ready` once it listens.
"""

import base64
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np


def picture(number: int) -> bytes:
    """Make a 320x240 JPEG with its number in the top row, lowest bit first."""
    image = np.full((240, 320, 3), 110, np.uint8)
    for bit in range(16):
        image[:20, 20 * bit : 20 * bit + 20] = 255 if number >> bit & 1 else 0
    return cv2.imencode(".jpg", image)[1].tobytes()


class Camera(BaseHTTPRequestHandler):
    fps = 20.0
    expected = ""

    def do_GET(self) -> None:
        if self.path.split("?")[0] != "/stream.mjpg":
            self.send_error(404)
            return
        if self.expected and self.headers.get("Authorization") != self.expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = 0
        try:
            while True:
                jpeg = picture(number)
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                number += 1
                time.sleep(1 / self.fps)
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        """Log nothing, because the test reads stdout."""


def main() -> None:
    port, fps, *credentials = sys.argv[1:]
    Camera.fps = float(fps)
    if credentials:
        Camera.expected = "Basic " + base64.b64encode(":".join(credentials).encode()).decode()
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Camera)
    server.daemon_threads = True
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
