"""The page in a real browser: nothing sticks out at the width of a phone or of a desk."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fake_recording import attached, diagnosis, finding, simulate

from actdiag.reporters import REPORTERS

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((path for path in map(shutil.which, NAMES) if path), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason=f"no browser: none of {', '.join(NAMES)} is installed"
)

MEASURE = """<!doctype html><body style="margin:0"><iframe width="{width}" height="800" style="border:0"
srcdoc="{page}" onload="
const d = this.contentDocument, box = d.querySelector('.scroll'), text = d.querySelector('.chart text');
const asked = this.contentWindow.performance.getEntriesByType('resource').length;
const scale = text.closest('svg').getBoundingClientRect().width / 360;
document.title = ['result', d.documentElement.scrollWidth, d.documentElement.clientWidth, asked,
  Math.round(12 * scale), box.scrollWidth > box.clientWidth, d.querySelector('h1').innerText].join('|')">
</iframe>"""


def report_page(depth: int = 12, long_name: str = "x" * 300) -> str:
    recording = simulate(depth, sigma=0.5)[0]
    run = recording.runs[0]
    recording.meta["runs"][run]["notes"].append(long_name)
    found = finding(
        run, message=f"It vanishes in {long_name}.", evidence={"measured": 1e-9, "where": long_name}
    )
    return REPORTERS["html"](recording, diagnosis(recording, found))["report.html"].decode()


def browse(page: str, width: int, folder: Path) -> list[str]:
    """Return scroll width, visible width, requests, size of figure text, does the table scroll, heading."""
    (folder / "frame.html").write_text(MEASURE.format(width=width, page=html.escape(page)), encoding="utf-8")
    flags = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    )
    command = [
        str(BROWSER),
        *flags,
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1500,900",
        "--dump-dom",
        (folder / "frame.html").as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<title>result\|(.*?)</title>", done.stdout)
    assert found is not None, done.stderr[-500:]
    return found[1].split("|")


@pytest.mark.parametrize("width", [375, 1440])
def test_nothing_sticks_out_of_the_page(tmp_path: Path, width: int) -> None:
    scroll, visible, requests, text, scrolls, heading = browse(report_page(), width, tmp_path)
    assert int(scroll) <= int(visible) <= width
    assert requests == "0"
    assert int(text) >= 11
    assert scrolls == ("true" if width == 375 else "false")
    assert heading.endswith("Does not train")


def test_the_measurement_sees_what_sticks_out(tmp_path: Path) -> None:
    page = report_page().replace("</main>", '<div style="width:2000px">wide</div></main>')
    scroll, visible, *_ = browse(page, 375, tmp_path)
    assert int(scroll) > int(visible)


@pytest.mark.parametrize("width", [375, 1440])
def test_nothing_of_a_large_model_sticks_out(tmp_path: Path, width: int) -> None:
    """Everything that folds is unfolded."""
    gaps = [{"name": f"{'x' * 90}{number}"} for number in range(40)]
    gaps.append({"reason": f"'{'y' * 90}' is complex; its output is {'z' * 90}", "observed": True})
    recording = attached(150, gaps=gaps)
    page = REPORTERS["html"](recording, diagnosis(recording))["report.html"].decode()
    scroll, visible, *_ = browse(page.replace("<details>", "<details open>"), width, tmp_path)
    assert page.count("<details>") == 3
    assert int(scroll) <= int(visible) <= width
