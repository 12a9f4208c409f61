"""Chromium without a screen, by the WebDriver protocol (https://www.w3.org/TR/webdriver2/)."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")
_PATIENCE_S = 30

TAB, ENTER, SPACE = "\ue004", "\ue007", " "
SHIFT_TAB = "\ue008" + TAB


class Browser:
    """A window of a browser."""

    def __init__(self, client: httpx.Client, session: str):
        self._client, self._session = client, session

    def _call(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._client.post(f"/session/{self._session}/{path}", json=body).json()["value"]
        assert not (isinstance(answer, dict) and "error" in answer), answer
        return answer

    def open(self, url: str) -> None:
        """Load a page."""
        self._call("url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """What the body of a JavaScript function returns."""
        return self._call("execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, expression: str) -> Any:
        """What a JavaScript expression gives, once that is true."""
        deadline = time.monotonic() + _PATIENCE_S
        while not (value := self.run(f"return {expression}")):
            assert time.monotonic() < deadline, f"{expression} is {value}: {self.text('body')}"
            time.sleep(0.05)
        return value

    def texts(self, css: str) -> list[str]:
        """The visible text of each element that a selector finds."""
        script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)"
        return list(self.run(script, css))

    def text(self, css: str) -> str:
        """The visible text of the first."""
        return self.texts(css)[0]

    def click(self, css: str) -> None:
        """Click on the first, as a mouse does: nothing may cover it."""
        found = self._call("element", {"using": "css selector", "value": css})
        self._call(f"element/{next(iter(found.values()))}/click", {})

    def press(self, keys: str) -> None:
        """Press keys one after another, wherever the focus is; Shift is held to the end."""
        downs = [{"type": "keyDown", "value": key} for key in keys]
        ups = [{"type": "keyUp", "value": key} for key in reversed(keys)]
        steps = [step for pair in zip(downs, reversed(ups), strict=True) for step in pair]
        if keys.startswith("\ue008"):
            steps = downs + ups
        self._call("actions", {"actions": [{"type": "key", "id": "keys", "actions": steps}]})

    def tell(self, command: str, **parameters: Any) -> Any:
        """Send a command of the Chrome DevTools protocol."""
        return self._call("goog/cdp/execute", {"cmd": command, "params": parameters})

    def dress(self, *, width: int = 1200, height: int = 900, scheme: str = "light") -> None:
        """Change the size of the window, in CSS pixels, and the colours that the reader prefers."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.tell("Emulation.setEmulatedMedia", features=[feature])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.tell("Emulation.setDeviceMetricsOverride", **size)

    def complaints(self) -> list[str]:
        """What the browser's console has got since the last call."""
        return [entry["message"] for entry in self._call("se/log", {"type": "browser"})]

    def picture(self) -> bytes:
        """The whole page as PNG."""
        shot = self.tell("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser, until the end of the block."""
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
    if driver is None or chromium is None:
        pytest.skip("there is no Chromium here: apt-get install chromium chromium-driver")
    process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = next(filter(None, (re.search(r"on port (\d+)\.", s) for s in process.stdout)))[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            options = {"binary": chromium, "args": list(_OPTIONS)}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            asked = client.post("/session", json={"capabilities": {"alwaysMatch": wanted}}).json()
            session = asked["value"]["sessionId"]
            try:
                yield Browser(client, session)
            finally:
                client.delete(f"/session/{session}")
    finally:
        process.kill()
        process.wait()
