"""Headless Chromium, driven through its own protocol by a pipe, without packages."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from degrade.images import image_io

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCREENSHOTS = os.environ.get("STUDIO_SCREENSHOTS")  # a folder for pictures to look at

OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"),
    "--remote-debugging-pipe",
]
START = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for number, pipe in zip((3, 4), pipes):
    os.dup2(pipe, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Chromium with its two pipes where it expects them."""


class Browser:
    """One page of a headless Chromium; its protocol goes through two pipes, as file descriptors 3 and 4 of it."""

    def __init__(self, profile: Path, width: int = 1400, height: int = 900) -> None:
        read_in, self._write = os.pipe()
        self._read, write_out = os.pipe()
        chosen = [*OPTIONS, f"--user-data-dir={profile}"]
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", START, str(read_in), str(write_out), str(CHROMIUM), *chosen],
            pass_fds=(read_in, write_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_in)
        os.close(write_out)
        self._buffer, self._number, self.events = b"", 0, list[dict[str, Any]]()
        self._session: dict[str, str] = {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol, and its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 60
        while True:
            while b"\0" not in self._buffer:
                ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
                data = os.read(self._read, 1 << 20) if ready else b""
                assert data, f"{method}: no answer of Chromium in 60 s"
                self._buffer += data
            text, _, self._buffer = self._buffer.partition(b"\0")
            answer = json.loads(text)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def js(self, expression: str) -> Any:
        """The value of an expression, awaited."""
        made = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in made, made
        return made["result"].get("value")

    def open(self, url: str) -> None:
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        self.settled()

    def settled(self, state: str = "ready") -> None:
        """Wait until the page shows the picture of its state."""
        deadline = time.monotonic() + 60
        while self.js("document.body?.dataset.state") != state:
            assert time.monotonic() < deadline, self.js("document.body.innerText")
            time.sleep(0.05)

    def mouse(self, kind: str, x: float, y: float, buttons: int = 1) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1)

    def box(self, selector: str) -> dict[str, float]:
        """Place and size of an element, pixels of the window; scrolled into view."""
        find = f"document.querySelector({json.dumps(selector)})"
        box: dict[str, float] = self.js(
            f"{find}.scrollIntoView({{block: 'nearest'}}), {find}.getBoundingClientRect().toJSON()"
        )
        return box

    def drag(self, selector: str, to: float, start: float = 0.5) -> None:
        """From a share of an element's width to another, as a hand does."""
        box = self.box(selector)
        y = box["y"] + box["height"] / 2
        self.mouse("mousePressed", box["x"] + start * box["width"], y)
        for share in (0.5 * (start + to), to):
            self.mouse("mouseMoved", box["x"] + share * box["width"], y)
        self.mouse("mouseReleased", box["x"] + to * box["width"], y, buttons=0)

    def click(self, selector: str) -> None:
        box = self.box(selector)
        for kind, buttons in (("mousePressed", 1), ("mouseReleased", 0)):
            self.mouse(kind, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, buttons)

    def shot(self, name: str) -> torch.Tensor:
        """What is seen, uint8 (3, H, W); also written where STUDIO_SCREENSHOTS says."""
        png = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if SCREENSHOTS:
            (Path(SCREENSHOTS) / f"{name}.png").write_bytes(png)
        return image_io.read_bytes(png)

    def close(self) -> None:
        self._session = {}
        self.call("Browser.close")
        self._process.wait(20)
        os.close(self._write)
        os.close(self._read)
