"""The README's commands where a system lacks what Linux has: Windows, an old encoding, no home, a lost terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

# What the modules of CPython lack on Windows, as far as cualex could ask for it. Libraries keep what they have found.
WINDOWS = """
import builtins, os, signal, sys
import portalocker, matplotlib, rich.console, PIL.Image, numpy, click, threadpoolctl, safetensors, concurrent.futures
load = builtins.__import__
def lacking(name, globals=None, *rest, **named):
    if name.partition(".")[0] == "cupy":
        raise ModuleNotFoundError("No module named 'cupy'", name="cupy")
    if name in ("fcntl", "pwd", "grp", "resource", "termios", "pty", "tty") and str((globals or {}).get("__name__")).startswith("cualex"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return load(name, globals, *rest, **named)
builtins.__import__ = lacking
for name in ("pread", "preadv", "pwrite", "sched_getaffinity", "getloadavg", "sysconf", "fork", "getuid", "geteuid", "fchmod", "killpg", "posix_fallocate"):
    if hasattr(os, name): delattr(os, name)
for name in ("SIGHUP", "SIGQUIT", "SIGUSR1", "SIGPIPE", "pthread_sigmask", "setitimer"):
    if hasattr(signal, name): delattr(signal, name)
from cualex.cli import main
main()
"""  # noqa: E501
PLACES = {
    "windows": {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
    "LANG=C": {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "no home": {"HOME": None, "XDG_CACHE_HOME": None, "CUALEX_CACHE": None},
}
UMASK = 0o027
SMALL = ["--network", "cifar-relu", "--crop", "27", "-b", "4", "--epochs", "1", "--recipe", "cifar"]


@pytest.fixture
def photos(tmp_path):
    """Draw two classes, one of which has a name that old encodings lack."""
    rng = np.random.default_rng(5)
    for name, base in (("Hund", 60), ("猫", 190)):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for i in range(8):
            pixels = np.clip(rng.normal(base, 30, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "photos"


@pytest.fixture
def run(tmp_path, request):
    """Run the command in such a place, and expect that it does what it is for."""
    settings = {**os.environ, "TMPDIR": str(tmp_path)}
    for name, value in PLACES[request.param].items():
        settings.pop(name, None)
        if value is not None:
            settings[name] = value
    program = ["-c", WINDOWS] if request.param == "windows" else ["-m", "cualex"]

    def call(*words):
        command = [sys.executable, *program, *map(str, words)]
        done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, umask=UMASK)
        text = (done.stdout + done.stderr).decode("latin-1")
        assert done.returncode == 0, text
        assert "Traceback" not in text
        return done.stdout

    return call


@pytest.mark.slow
@pytest.mark.parametrize("run", PLACES, indirect=True)
def test_the_readmes_commands_work(run, photos, tmp_path, request):
    run("train", photos, *SMALL, "--keep")
    table = run("predict", photos / "猫" / "1.png")
    assert b"Hund" in table
    document = json.loads(run("predict", photos / "猫" / "1.png", "--json"))
    assert {each["class"] for each in document["results"][0]["predictions"]} == {"Hund", "猫"}
    run("show", "network", "-o", "towers.png")
    run("summary", "alexnet")
    if request.node.callspec.params["run"] == "windows":
        run("evaluate", photos)
        run("train", "--resume", "runs/train", "--epochs", "2")
        run("features", photos / "Hund", "-o", "features.npy")
        run("profile", "lenet5", "-b", "2", "--repeat", "1")
        run("export", "--weights", "runs/train", "--to", "torch", "-o", "net.pth")
        run("doctor")
        run("help", "networks")
    written = [path for path in tmp_path.rglob("*") if path.is_file() and photos not in path.parents]
    modes = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777 for path in written}
    assert {name: oct(mode) for name, mode in modes.items() if mode != 0o666 & ~UMASK} == {}
    assert len(modes) > 10


@pytest.mark.slow
@pytest.mark.parametrize("told", [True, False], ids=["by SIGHUP", "by what it prints"])
def test_a_terminal_that_is_closed_leaves_a_checkpoint(tmp_path, photos, told):
    """The shell sends SIGHUP, and what is printed from there on has nowhere to go; it may be printed first."""
    leader, follower = pty.openpty()
    words = [sys.executable, "-m", "cualex", "train", str(photos), *SMALL, "--epochs", "500", "--keep"]
    process = subprocess.Popen(words, cwd=tmp_path, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    log = tmp_path / "runs" / "train" / "log.jsonl"
    for _ in range(600):
        if log.exists() and log.stat().st_size:
            break
        time.sleep(0.05)
    if told:
        process.send_signal(signal.SIGHUP)
    os.close(leader)
    assert process.wait(60) == 129
    assert (tmp_path / "runs" / "train" / "last.safetensors").exists()
    words = [sys.executable, "-m", "cualex", "train", "--resume", "runs/train", "--epochs", "2"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode in (0, 2), done.stderr  # 2: it had done more than two
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_nohup_trains_on(tmp_path, photos):
    words = ["nohup", sys.executable, "-m", "cualex", "train", str(photos), *SMALL, "--epochs", "60"]
    process = subprocess.Popen(
        words, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    log = tmp_path / "runs" / "train" / "log.jsonl"
    while not (log.exists() and log.stat().st_size) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGHUP)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
