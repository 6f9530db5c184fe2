"""Finding a Chromium on this machine, and starting it so that it asks nothing of any network."""

import os
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Error, Playwright

_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
)


class NoChromiumError(Exception):
    """There is no Chromium that starts; the message says what was tried and how to get one."""


def start_chromium(playwright: Playwright) -> Browser:
    """Start the Chromium that CHROMIUM names, else one on the PATH, else Playwright's own. Raises `NoChromiumError`."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    path = found or playwright.chromium.executable_path
    if not Path(path).exists():
        raise NoChromiumError(
            f"no Chromium at {path}: install one (.ci/run does), or name it with CHROMIUM=/path/to/chromium"
        )
    try:
        return playwright.chromium.launch(executable_path=path, args=_FLAGS)
    except Error as error:
        raise NoChromiumError(f"Chromium at {path} does not start: {error.message.splitlines()[0]}") from error
