"""Opens a site page by page in headless Chromium, and looks for what a reader would trip over."""

from __future__ import annotations

import asyncio
import functools
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.async_api import Browser, BrowserContext, Page, Request, async_playwright

SCHEMES = ("default", "slate")
PHONE = {"width": 390, "height": 844}
TABS = 4
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip

# Text that stands out from what is behind it by less than WCAG's AA asks for, in the scheme that is on.
FAINT = """
() => {
  const channels = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
  const luminance = ([r, g, b]) => [r, g, b]
    .map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const over = (top, below) => {
    const alpha = top[3] ?? 1;
    return [0, 1, 2].map((i) => top[i] * alpha + below[i] * (1 - alpha));
  };
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.unshift(channels(getComputedStyle(at).backgroundColor));
    return layers.reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const faint = new Map();
  const texts = document.createTreeWalker(document.querySelector('.md-content') ?? document.body, NodeFilter.SHOW_TEXT);
  for (let seen = 0; texts.nextNode() && seen < 600; seen += 1) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.textContent.trim();
    if (!text || element.closest('svg, .headerlink, button, script, style') || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const key = style.color + style.fontSize + element.className + element.tagName + element.parentElement.tagName;
    if (faint.has(key)) continue;
    const below = behind(element);
    const [low, high] = [luminance(over(channels(style.color), below)), luminance(below)].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    const asked = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
    faint.set(key, ratio < asked ? `${text.slice(0, 30)} (${ratio.toFixed(1)})` : null);
  }
  return [...faint.values()].filter(Boolean);
}
"""
# The search's worker makes its index anew on each page, a second's work; `_search` has the real one.
NO_SEARCH = "window.Worker = class extends EventTarget { postMessage() {} terminate() {} }"
WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
TURN = "(scheme) => document.body.setAttribute('data-md-color-scheme', scheme)"


@dataclass
class Visit:
    """What was seen: a line for each fault, and what a search found."""

    faults: list[str] = field(default_factory=list)
    opened: int = 0
    found: list[str] = field(default_factory=list)


@contextmanager
def served(site: Path) -> Iterator[str]:
    """The site on loopback; its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def chromium() -> str:
    """Debian's browser; `make` installs it."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert found, "no Chromium: `make system` installs it"
    return found


async def visit(site: Path, names: list[str], asked: str) -> Visit:
    """Opens these pages, in a few tabs, and searches for what is asked."""
    seen = Visit()
    with served(site) as address:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
            try:
                todo = list(reversed(names))
                await asyncio.gather(*(_tab(browser, address, todo, seen) for _ in range(TABS)))
                seen.found = await _search(browser, address, asked)
            finally:
                await browser.close()
    return seen


async def _tab(browser: Browser, address: str, todo: list[str], seen: Visit) -> None:
    context = await _context(browser)
    await context.add_init_script(NO_SEARCH)
    page = await context.new_page()
    at = [""]

    def fault(text: str) -> None:
        seen.faults.append(f"{at[0]}: {text}")

    page.on(
        "console",
        lambda said: fault(f"console {said.type}: {said.text}") if said.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: fault(f"raised {error}"))
    page.on("requestfailed", lambda request: _failed(request, fault))
    page.on("request", lambda request: None if _is_own(request.url, address) else fault(f"asks {request.url}"))
    page.on("response", lambda answer: fault(f"{answer.url} is {answer.status}") if answer.status >= 400 else None)
    while todo:
        at[0] = todo.pop()
        await page.goto(f"{address}/{at[0].removesuffix('index.html')}", wait_until="load")
        await _look(page, fault)
        seen.opened += 1
    await context.close()


async def _context(browser: Browser) -> BrowserContext:
    # Motion would be measured half-way.
    context = await browser.new_context(viewport=PHONE, reduced_motion="reduce")  # type: ignore[arg-type]
    context.set_default_timeout(120_000)
    return context


def _is_own(url: str, address: str) -> bool:
    return url.startswith((f"{address}/", "data:", "blob:"))


def _failed(request: Request, fault: Callable[[str], None]) -> None:
    # Of a page that is left the browser gives up what is still on its way, as on a busy machine.
    if request.failure != "net::ERR_ABORTED":
        fault(f"{request.url} failed: {request.failure}")


async def _look(page: Page, fault: object) -> None:
    assert callable(fault)
    wider = await page.evaluate(WIDER)
    if wider > 0:
        fault(f"{wider} pixels wider than a phone")
    await page.add_style_tag(content="* { transition: none !important }")
    for scheme in SCHEMES:
        await page.evaluate(TURN, scheme)
        for text in await page.evaluate(FAINT):
            fault(f"faint in {scheme}: {text}")


async def _search(browser: Browser, address: str, asked: str) -> list[str]:
    context = await browser.new_context()
    context.set_default_timeout(120_000)
    page = await context.new_page()
    await page.goto(address)
    await page.locator("input.md-search__input").fill(asked)
    results = page.locator(".md-search-result__item a.md-search-result__link")
    await results.first.wait_for()
    links = [str(await link.get_attribute("href")) for link in await results.all()]
    await context.close()
    return links
