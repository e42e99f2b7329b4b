"""A headless Chromium that opens a page and says what is wrong with it.

A test asks for the fixture `browser` (tests/conftest.py), which skips where there is none, and
calls `browser.check(path)`: it opens the page at desktop and phone width, light, dark and printed.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Widths in CSS pixels.
DESKTOP, PHONE = 1280, 390

_FLAGS = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars",
)  # fmt: skip

# What a page has in it that a reader cannot use; a list of sentences.
_SCRIPT = r"""
const found = [];
const name = e => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") +
    " '" + (e.textContent || "").trim().slice(0, 40) + "'";
document.querySelectorAll("details").forEach(e => e.open = true);
const wide = window.innerWidth;
if (document.scrollingElement.scrollWidth > wide)
    found.push(`the page is ${document.scrollingElement.scrollWidth} px wide, of ${wide}`);
const scrolls = e => {
    for (let up = e; up && up !== document.body; up = up.parentElement)
        if (["auto", "scroll"].includes(getComputedStyle(up).overflowX)) return true;
    return false;
};
for (const e of document.querySelectorAll("body *")) {
    const box = e.getBoundingClientRect();
    if (box.width && box.right > wide + 1 && !scrolls(e) && !e.classList.contains("skip"))
        found.push(`${name(e)} ends ${Math.round(box.right - wide)} px beyond the page`);
}
for (const e of document.querySelectorAll("body *"))
    if (["auto", "scroll"].includes(getComputedStyle(e).overflowX) &&
        e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0)
        found.push(`${name(e)} scrolls, and the keyboard cannot reach it`);
const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map(e => +e.tagName[1]);
if (levels.filter(k => k === 1).length !== 1) found.push("not one h1");
levels.forEach((k, i) => {
    if (i && k > levels[i - 1] + 1) found.push(`h${k} after h${levels[i - 1]}`); });
for (const e of document.querySelectorAll("table")) {
    if (!e.caption) found.push(`${name(e)} has no caption`);
    if (!e.querySelector("th[scope]")) found.push(`${name(e)} has no heading with a scope`);
}
for (const e of document.querySelectorAll("svg"))
    if (e.getAttribute("role") !== "img" || !e.getAttribute("aria-label"))
        found.push(`${name(e)} has no text for a screen reader`);
const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
ids.filter((id, i) => ids.indexOf(id) !== i).forEach(id => found.push(`the id ${id} twice`));
for (const e of document.querySelectorAll("[href], [*|href]")) {
    const to = e.getAttribute("href") || e.getAttributeNS("http://www.w3.org/1999/xlink", "href");
    if (to && to.startsWith("#") && !ids.includes(to.slice(1))) found.push(`${to} leads nowhere`);
}
// Contrast as WCAG 2 has it, AA: 4.5 for text, against the nearest background.
const parsed = text => (text.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
const light = c => { const [r, g, b] = c.slice(0, 3).map(x => {
    x /= 255; return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = e => { for (; e; e = e.parentElement) {
    const c = parsed(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0.5) return c; }
    return [255, 255, 255]; };
const told = new Set();
for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.getClientRects().length || e.tagName === "SCRIPT") continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(parsed(e.closest("svg") ? style.fill : style.color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const key = `${e.tagName} ${e.className.baseVal ?? e.className}`;
    if (ratio < 4.5 && !told.has(key)) { told.add(key);
        found.push(`${name(e)} has contrast ${ratio.toFixed(2)}, of 4.5`); }
}
return found;
"""

_NUMBERS = r"""
const data = {};
document.querySelectorAll('script[type="application/json"]').forEach(
    e => data[e.id] = JSON.parse(e.textContent));
return [data, [...document.querySelectorAll("[data-json]")].map(
    e => [e.getAttribute("data-json"), e.textContent.trim()])];
"""


def missing() -> str:
    """Why there is no browser, or ""."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed"
    for names in (("chromium", "chromium-browser", "google-chrome"), ("chromedriver",)):
        if not any(map(shutil.which, names)):
            return f"no {names[0]} on the path"
    return ""


@dataclass(frozen=True)
class Numbers:
    """What a page shows, beside the data in it: see `Cell.pointer`.

    - `data`: the JSON of each `<script>`, by its id.
    - `shown`: pointers with the text of their cells.
    """

    data: dict[str, Any]
    shown: list[tuple[str, str]]

    def wrong(self) -> list[str]:
        """Numbers that are not what the data round to, a sentence each."""
        found = []
        for pointer, text in self.shown:
            name, _, path = pointer.rpartition("#")
            value = self.data[name or "data"]
            for step in path.split("/")[1:]:
                step = step.replace("~1", "/").replace("~0", "~")
                value = value[int(step)] if isinstance(value, list) else value[step]
            if not _rounds_to(text, value):
                found.append(f"{pointer}: {text!r} is shown of {value!r}")
        return found


def _rounds_to(text: str, value: float | None) -> bool:
    """Whether the first number in the text is the value, to the digits that it has."""
    match = re.search(r"[-−]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?", text)
    if match is None or value is None:
        return match is None and value is None
    digits = match[0].replace("−", "-").replace(",", "")
    mantissa, _, exponent = digits.partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    scale = 100.0 if "%" in text else 1.0
    return math.isclose(float(digits), value * scale, abs_tol=0.5001 * unit, rel_tol=1e-12)


class Browser:
    """One Chromium for all pages of a session."""

    def __init__(self, profile: Path) -> None:
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")  # Chromium's does not start for root
        options.binary_location = next(
            filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
        )
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)

    def close(self) -> None:
        """End it."""
        self.driver.quit()

    def open(
        self, page: Path, *, width: int = DESKTOP, dark: bool = False, paper: bool = False
    ) -> None:
        """Load a page from the disk at a width, on light or dark, on the screen or as printed."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {
                "media": "print" if paper else "screen",
                "features": [
                    {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
                ],
            },
        )
        for log in ("browser", "performance"):
            self.driver.get_log(log)  # what was before
        self.driver.get(page.resolve().as_uri())

    def problems(self, page: Path, **how: Any) -> list[str]:
        """What is wrong with the page, a sentence each: messages of the console, requests, parts
        beyond the page's edge, headings, tables, texts for screen readers, contrast."""
        self.open(page, **how)
        found = [f"console: {entry['message']}" for entry in self.driver.get_log("browser")]
        address = page.resolve().as_uri()
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                url = event["params"]["request"]["url"]
                if url.partition("#")[0] != address and not url.startswith("data:"):
                    found.append(f"request of {url}")
        if not how.get("paper"):
            found += self.driver.execute_script(_SCRIPT)
        return found

    def numbers(self, page: Path) -> Numbers:
        """The page's data, and the numbers that it shows of them."""
        self.open(page)
        data, shown = self.driver.execute_script(_NUMBERS)
        return Numbers(data, [(pointer, text) for pointer, text in shown])

    def check(self, page: Path, *, least_numbers: int = 1) -> dict[str, Any]:
        """Fail for anything that is wrong with the page, whatever the reader's screen; return its
        data.

        - `least_numbers`: how many numbers it compares with its data at least.
        """
        for how in (
            {}, {"dark": True}, {"width": PHONE}, {"width": PHONE, "dark": True}, {"paper": True},
        ):  # fmt: skip
            found = self.problems(page, **how)
            assert not found, f"{page.name}, {how}:\n" + "\n".join(found)
        numbers = self.numbers(page)
        assert len(numbers.shown) >= least_numbers, f"{page.name}: {numbers.shown}"
        assert not numbers.wrong(), "\n".join(numbers.wrong())
        return numbers.data
