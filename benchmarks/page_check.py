"""Open a report's page in headless Chromium, and fail where it says anything on its console or asks for anything.

python benchmarks/page_check.py PAGE.html SCREENSHOT.png
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    "--host-resolver-rules=MAP * ~NOTFOUND",
    *("--enable-logging=stderr", "--v=0", "--window-size=1300,9000"),
)
BY_A_PAGE = 101845102
"""Chromium's `traffic_annotation` of what a page asks for (`blink_resource_loader`), not the browser by itself."""


def check(page: Path, screenshot: Path) -> tuple[list[str], list[str]]:
    """The lines of the page's console, and the addresses that it asked for, itself and what is in it aside.

    Raises:
        OSError: if there is no Chromium, or it makes no screenshot.
    """
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise OSError("there is no chromium on the PATH")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "net.json"
        places = [f"--user-data-dir={folder}", f"--log-net-log={log}", f"--screenshot={screenshot.resolve()}"]
        command = [browser, *OPTIONS, *places, page.resolve().as_uri()]
        said = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stderr
        asked = set(re.findall(rf'"traffic_annotation":{BY_A_PAGE},"url":"([^"]+)"', log.read_text()))
    if not screenshot.exists():
        raise OSError(f"chromium made no screenshot of {page}")
    local = page.resolve().as_uri()
    return (
        [line for line in said.splitlines() if "CONSOLE" in line],
        sorted(json.loads(f'"{url}"') for url in asked if not url.startswith((local, "data:"))),
    )


def main() -> int:
    """Print what was found; the exit code."""
    console, asked = check(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"console lines: {len(console)}, external requests: {len(asked)}", *console, *asked, sep="\n")
    return 1 if console or asked else 0


if __name__ == "__main__":
    sys.exit(main())
