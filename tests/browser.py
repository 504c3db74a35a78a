"""Pages as people see them: a Chromium without a window, and MLflow's pages on loopback."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tools import browser


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """A browser of its own."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.binary_location = next(filter(None, map(shutil.which, browser.NAMES["chromium"])))
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def fits(page: webdriver.Chrome, width: int) -> bool:
    """Whether a window of so many pixels shows the page without a bar to push it sideways."""
    page.set_window_size(width, 1000)
    return bool(page.execute_script("return document.documentElement.scrollWidth <= window.innerWidth"))


@contextmanager
def mlflow_server(uri: str, folder: Path) -> Iterator[str]:
    """The address of the pages of a tracking store, once they answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [Path(sys.executable).parent / "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    server = subprocess.Popen(
        [*words, "--port", str(port), "--workers", "1"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(240):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.5)
        else:
            raise TimeoutError(f"MLflow's pages did not come up on port {port} within two minutes")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
