"""The page in headless Chromium, driven over its DevTools pipe: no errors, no requests, no sideways scroll, and paper."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from metier.pages.inputs import ReportInputs
from metier.pages.report import report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
TIME = "2026-11-21T22:40:00Z"
_PATIENCE_S = 60.0
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)

# Puts the pipe's ends where the browser looks for them.
_LAUNCH = """
import fcntl, os, sys
there, back = (fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3])
os.dup2(there, 3)
os.dup2(back, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium binary on the PATH (Debian: apt-get install chromium)"
)


class Browser:
    """The smallest DevTools client: messages are JSON ended by NUL, the browser reads descriptor 3 and writes 4."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        there, self._write = os.pipe()
        self._read, back = os.pipe()
        command = [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, str(there), str(back), *command],
            pass_fds=(there, back),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(there)
        os.close(back)
        self._buffer = b""
        self._last_id = 0
        self.events: list[dict[str, Any]] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(item["targetId"] for item in targets if item["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events met on the way are kept."""
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": params}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._last_id:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, path: Path, width: int, *, dark: bool = False, media: str = "screen") -> None:
        """Load a file at a viewport width and wait until it has loaded."""
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call("Page.navigate", url=path.as_uri())
        while not self.seen("Page.loadEventFired"):
            self.events.append(self._next())

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def seen(self, method: str) -> list[dict[str, Any]]:
        """What came with the events of this name since the page was opened."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def close(self) -> None:
        with suppress(OSError, AssertionError):
            self.call("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"chromium said nothing for {_PATIENCE_S:.0f} s"
            chunk = os.read(self._read, 1 << 20)
            assert chunk, "chromium ended before it answered"
            self._buffer += chunk
        message, self._buffer = self._buffer.split(b"\0", 1)
        parsed: dict[str, Any] = json.loads(message)
        return parsed


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    running = Browser(tmp_path_factory.mktemp("profile"))
    yield running
    running.close()


def _page(tmp_path: Path, inputs: ReportInputs) -> Path:
    path = tmp_path / "report.html"
    path.write_text(report(inputs, time=TIME).html, encoding="utf-8")
    return path


def _complaints(browser: Browser) -> list[object]:
    return [
        *browser.seen("Runtime.exceptionThrown"),
        *browser.seen("Runtime.consoleAPICalled"),
        *browser.seen("Log.entryAdded"),
        *browser.seen("Page.javascriptDialogOpening"),
    ]


def _requests(browser: Browser) -> list[str]:
    urls = [event["request"]["url"] for event in browser.seen("Network.requestWillBeSent")]
    return [url for url in urls if not url.startswith("data:")]


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("dark", [False, True])
def test_opens_quietly_and_fits_the_screen(
    browser: Browser, tmp_path: Path, case: tuple[str, ReportInputs], width: int, dark: bool
) -> None:
    name, inputs = case
    path = _page(tmp_path, inputs)
    browser.open(path, width, dark=dark)
    browser.evaluate("document.querySelectorAll('details').forEach(item => item.open = true)")
    browser.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
    assert _complaints(browser) == []
    assert _requests(browser) == [path.as_uri()]
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    # Nothing but a scrolling table may reach past the edge.
    beyond = """[...document.querySelectorAll('main *')].filter(item => !item.closest('.scroll') && !item.closest('svg')
        && item.getBoundingClientRect().right > innerWidth + 0.5).map(item => item.outerHTML.slice(0, 120))"""
    assert browser.evaluate(beyond) == []
    _keep(browser, f"{name}-{width}{'-dark' if dark else ''}")


@pytest.mark.parametrize("width", [1280, 360])
def test_charts_are_readable(browser: Browser, tmp_path: Path, full: ReportInputs, width: int) -> None:
    """One chart of each pair is shown, no text in it is smaller than 10 px, leaves the chart, or lies on another."""
    browser.open(_page(tmp_path, full), width)
    shown = browser.evaluate(
        "[...document.querySelectorAll('.chart')].filter(item => item.getClientRects().length).length"
    )
    total = browser.evaluate("document.querySelectorAll('.chart').length")
    assert shown == total / 2 > 5
    boxes = browser.evaluate(
        """[...document.querySelectorAll('.chart')].filter(chart => chart.getClientRects().length).map(chart => {
            const frame = chart.getBoundingClientRect();
            return [...chart.querySelectorAll('text')].map(item => {
                const box = item.getBoundingClientRect();
                return {text: item.textContent, x: box.left - frame.left, y: box.top - frame.top,
                        w: box.width, h: box.height,
                        size: parseFloat(getComputedStyle(item).fontSize) * frame.width / chart.viewBox.baseVal.width,
                        fw: frame.width};
            });
        })"""
    )
    for chart in boxes:
        assert all(item["size"] >= 10 for item in chart)
        assert [item for item in chart if item["x"] < -2 or item["x"] + item["w"] > item["fw"] + 2] == []
        pairs = [(a, b) for k, a in enumerate(chart) for b in chart[k + 1 :] if _overlap(a, b)]
        assert [(a["text"], b["text"]) for a, b in pairs] == []


def _overlap(a: dict[str, float], b: dict[str, float]) -> bool:
    # Line boxes are taller than their letters: a third of the height may overlap before letters touch.
    wide = min(a["x"] + a["w"], b["x"] + b["w"]) - max(a["x"], b["x"])
    high = min(a["y"] + a["h"], b["y"] + b["h"]) - max(a["y"], b["y"])
    return wide > 1 and high > min(a["h"], b["h"]) / 3


def test_text_stands_out_from_its_ground(browser: Browser, tmp_path: Path, full: ReportInputs) -> None:
    """WCAG 2.2, 1.4.3: a contrast of at least 4.5 for every text, light and dark."""
    path = _page(tmp_path, full)
    for dark in (False, True):
        browser.open(path, 1280, dark=dark)
        assert browser.evaluate(_LOW_CONTRAST) == []


_LOW_CONTRAST = """(() => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const channel = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = item => {
    for (; item; item = item.parentElement) {
      const colour = parse(getComputedStyle(item).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = new Set();
  for (const item of document.querySelectorAll("main *, footer")) {
    const own = [...item.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || !item.getClientRects().length) continue;
    const style = getComputedStyle(item);
    const [a, b] = [light(parse(item.closest("svg") ? style.fill : style.color)), light(ground(item))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.add(`${item.className.baseVal ?? item.className} ${contrast.toFixed(2)}`);
  }
  return [...found];
})()"""


def test_hostile_text_stays_text(
    browser: Browser, tmp_path: Path, cases: dict[str, Callable[[], ReportInputs]]
) -> None:
    browser.open(_page(tmp_path, cases["hostile"]()), 1280)
    assert browser.seen("Page.javascriptDialogOpening") == []
    assert (
        browser.evaluate("document.querySelectorAll('main script, img, [onmouseover], [onerror], main style').length")
        == 0
    )
    assert browser.evaluate("document.scripts.length") == 1
    assert browser.evaluate("getComputedStyle(document.querySelector('main')).display") == "block"
    assert "</script><img src=x onerror=alert(1)>" in browser.evaluate("document.body.textContent")


def test_works_without_javascript(browser: Browser, tmp_path: Path, full: ReportInputs) -> None:
    path = _page(tmp_path, full)
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(path, 1280)
        text = browser.evaluate("document.body.innerText")
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "Specialise: the encoder" in text
    assert "Coverage against risk" in text


@pytest.mark.skipif(
    shutil.which("pdftotext") is None, reason="no pdftotext on the PATH (Debian: apt-get install poppler-utils)"
)
def test_prints_on_a4_with_details_open(browser: Browser, tmp_path: Path, full: ReportInputs) -> None:
    browser.open(_page(tmp_path, full), 1280, media="print")
    printed = browser.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"]
    pdf = tmp_path / "report.pdf"
    pdf.write_bytes(base64.b64decode(printed))
    text = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=True).stdout
    assert "Specialise: the encoder" in text
    # A cell of a table that is folded on the screen.
    assert "$118,320" in text  # 24 months at $4,930: the last row of the cash table
    sizes = subprocess.run(["pdfinfo", pdf], capture_output=True, text=True, check=True).stdout
    assert "(A4)" in sizes
    if folder := os.environ.get("METIER_SCREENSHOTS"):
        shutil.copy(pdf, Path(folder) / "full.pdf")


def _keep(browser: Browser, name: str) -> None:
    """Pictures for the eye, where METIER_SCREENSHOTS names a folder."""
    if folder := os.environ.get("METIER_SCREENSHOTS"):
        browser.evaluate("document.querySelectorAll('details').forEach(item => item.open = false)")
        picture = browser.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(picture))
