"""ComfyUI is started as a person would start it, its death is reported, and only our own is stopped."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests

from plugins.comfyui.errors import Unreachable
from plugins.comfyui.starting import Started, environment, program_of

SERVER = """
import http.server, subprocess, sys
print("to see the GUI go to", sys.argv[1], flush=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("child", "w").write(str(child.pid))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a ComfyUI folder with a main.py that answers."""
    folder = tmp_path / "ComfyUI"
    folder.mkdir()
    (folder / "main.py").write_text(SERVER, encoding="utf-8")
    return folder


def start(folder: Path, port: int, *command: str, timeout: float = 20) -> Started:
    """Start a command as a plan names it."""
    given = command or (sys.executable, "main.py", str(port))
    log = folder.parent / "reports" / "comfyui.log"
    return Started(given, folder=folder, url=f"http://127.0.0.1:{port}", log=log, timeout=timeout)


def is_alive(pid: int) -> bool:
    """Say whether a process runs, and is no zombie."""
    try:
        return "Z" != Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def ends(pid: int) -> bool:
    """Wait until a process that was signalled has ended, but not for long."""
    end = time.monotonic() + 30
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.01)
    return not is_alive(pid)


def test_started_server_answers_and_is_stopped_with_its_children(folder: Path, port: int) -> None:
    """A server is started in its folder, its output is in the log, and stopping ends it and what it started."""
    started = start(folder, port)
    try:
        assert 200 == requests.get(f"http://127.0.0.1:{port}/", timeout=60).status_code
        child = int((folder / "child").read_text(encoding="utf-8"))
        assert is_alive(child)
    finally:
        started.stop()
    assert f"to see the GUI go to {port}\n" == started.log.read_text(encoding="utf-8")
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}/", timeout=60)
    assert ends(child)


@pytest.mark.parametrize("code", [0, 3])
def test_server_that_dies_is_reported_with_its_last_words(folder: Path, port: int, code: int) -> None:
    """A server that ends before it answers is told at once: exit code, folder, command, the log's last lines."""
    script = f"import sys; print('\\n'.join(f'line {{i}}' for i in range(40))); sys.exit({code})"
    with pytest.raises(Unreachable) as raised:
        start(folder, port, sys.executable, "-c", script)
    log = folder.parent / "reports" / "comfyui.log"
    last = "".join(f"\n  | line {number}" for number in range(25, 40))
    assert (
        f"ComfyUI was started in {folder} ({sys.executable} -c {script}), but it ended at once (exit code {code})."
        f" The last lines of its log, {log}:{last}"
    ) == str(raised.value)


def test_server_that_says_nothing_is_reported(folder: Path, port: int) -> None:
    """A server that dies without a word is told so."""
    with pytest.raises(Unreachable, match=r"it ended at once \(exit code 1\).*\n  \| \(nothing\)$"):
        start(folder, port, sys.executable, "-c", "raise SystemExit(1)")


def test_server_that_never_answers_is_ended(folder: Path, port: int) -> None:
    """A server that does not answer in time is ended, and the message names the option that gives it more."""
    script = f"import time; {str(folder)!r}; time.sleep(60)"
    with pytest.raises(Unreachable) as raised:
        start(folder, port, sys.executable, "-c", script, timeout=0.6)
    assert "it did not answer within 1 s (`timeout` under [comfyui] in the plan)." in str(raised.value)
    for process in psutil.process_iter(["cmdline"]):
        assert script not in (process.info["cmdline"] or []) or ends(process.pid)


def test_command_that_is_not_there_is_reported(folder: Path, port: int) -> None:
    """A start command that cannot be run is told with its name."""
    with pytest.raises(Unreachable, match="no-such-program") as raised:
        start(folder, port, "no-such-program", "main.py")
    assert f"ComfyUI was started in {folder} (no-such-program main.py), but that failed: " in str(raised.value)


def test_server_that_ran_before_is_never_stopped(folder: Path, port: int) -> None:
    """Where something answers already, nothing is started, and what ran before still runs."""
    with subprocess.Popen([sys.executable, "main.py", str(port)], cwd=folder, stdout=subprocess.PIPE) as running:
        try:
            assert running.stdout is not None
            running.stdout.readline()
            while not (folder / "child").exists() or not _answers(port):
                assert running.poll() is None
            with pytest.raises(Unreachable):
                start(folder, port)
            assert running.poll() is None
            assert _answers(port)
        finally:
            running.kill()
            subprocess.run(["kill", (folder / "child").read_text(encoding="utf-8")], check=False)


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=60).ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize("name", [".venv", "venv"])
def test_comfyui_finds_its_own_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """ComfyUI's own virtual environment comes first on its path; this suite's is not there, nor are its variables."""
    scripts = "Scripts" if os.name == "nt" else "bin"
    (tmp_path / name / scripts).mkdir(parents=True)
    ours = Path(sys.prefix) / scripts
    monkeypatch.setattr(sys, "base_prefix", "/somewhere/else")
    monkeypatch.setenv("PATH", os.pathsep.join([str(ours), "/usr/bin", "", "/bin"]))
    for variable in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"):
        monkeypatch.setenv(variable, "x")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    env = environment(tmp_path)
    assert os.pathsep.join([str(tmp_path / name / scripts), "/usr/bin", "/bin"]) == env["PATH"]
    assert set() == {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"} & set(env)
    assert "1" == env["CUDA_VISIBLE_DEVICES"]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        (os.path.join("..", "python_embeded", "python.exe"), "{folder}/../python_embeded/python.exe"),  # noqa: PTH118
        (os.path.abspath(sys.executable), os.path.abspath(sys.executable)),  # noqa: PTH100
        ("acceptance-python", "{folder}/.venv/acceptance-python"),
        ("no-such-python", "no-such-python"),
    ],
)
def test_program_is_looked_for_from_comfyuis_folder(tmp_path: Path, word: str, found: str) -> None:
    """A path starts at ComfyUI's folder, and so does each on ComfyUI's PATH: Windows would look elsewhere."""
    name = f"acceptance-python{'.exe' if os.name == 'nt' else ''}"
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / name).touch(mode=0o755)
    expected = Path(found.format(folder=tmp_path))
    actual = Path(program_of(word, tmp_path, {"PATH": os.pathsep.join(["bin", ".venv"]), "PATHEXT": ".EXE"}))
    assert expected == (actual.with_suffix("") if word in actual.name and os.name == "nt" else actual)


def test_without_virtual_environments_the_path_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither side has a virtual environment, `python` is what it is to a person."""
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)
    monkeypatch.setenv("PATH", os.pathsep.join([f"{sys.prefix}/bin", "/usr/bin"]))
    assert os.pathsep.join([f"{sys.prefix}/bin", "/usr/bin"]) == environment(tmp_path)["PATH"]


def test_program_that_is_not_there_is_named_with_others(folder: Path, port: int) -> None:
    """A `start` whose program is not installed, such as `python` on Debian, is told with what to write."""
    with pytest.raises(Unreachable) as caught:
        start(folder, port, "no-such-python", "main.py")
    told = str(caught.value)
    assert (
        "that failed: there is no program 'no-such-python'. Name ComfyUI's own Python in `start` under [comfyui]"
        in told
    )
    assert "..\\python_embeded\\python.exe" in told
