"""The command line as a user meets it: help, errors word for word, exit codes, progress, JSON."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time

import click
import numpy as np
import pytest
from click.testing import CliRunner

from cualex import cli
from cualex.cli import _exit, _options, _output
from cualex.errors import CualexError, Diverged, OutOfMemory, RunLocked, Unreadable, UsageError

HEAVY = ("numpy", "cupy", "rich", "PIL", "matplotlib", "threadpoolctl", "safetensors", "torch")


@pytest.fixture
def run():
    """Run the command in this process and return its result."""
    return lambda *arguments, **more: CliRunner().invoke(cli.main, list(map(str, arguments)), **more)


@pytest.fixture
def raising(monkeypatch):
    """Make a command `fail` that raises what it is given."""

    def make(error):
        @click.command()
        def fail():
            if callable(error):
                error()
            raise error

        monkeypatch.setattr(cli.OneFileEach, "list_commands", lambda self, ctx: ["fail", "summary"])
        found = cli.OneFileEach.get_command
        monkeypatch.setattr(
            cli.OneFileEach,
            "get_command",
            lambda self, ctx, name: fail if name == "fail" else found(self, ctx, name),
        )

    return make


def program(*arguments, code=None, **more):
    """Run the command, or a line of Python, in a process of its own."""
    start = ["-c", code] if code else ["-c", "import cualex.cli; cualex.cli.main()", *arguments]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run([sys.executable, *start], text=True, timeout=60, check=False, env=buffered, **more)


def test_help_loads_nothing_heavy():
    """Not even a command's own file may load NumPy before it runs."""
    code = (
        "import sys, cualex, cualex.cli\n"
        "for name in cualex.cli.main.list_commands(None): cualex.cli.main.get_command(None, name)\n"
        "try: cualex.cli.main(['--help'])\n"
        f"finally: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = program(code=code, capture_output=True)
    assert done.stderr.strip() == "[]"
    assert "Usage:" in done.stdout


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_every_command_in_whole_sentences(run, option):
    result = run(option)
    assert result.exit_code == 0
    listed = result.stdout.partition("Commands:\n")[2]
    for name in cli.main.list_commands(None):
        assert f"\n  {name} " in f"\n{listed}"
    assert "..." not in listed


def test_version(run):
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, "cualex, version 0.1.0\n")


def test_an_unknown_command_is_told_the_nearest_one(run):
    result = run("sumary")
    assert result.exit_code == 2
    assert result.stderr.endswith("Error: No such command 'sumary'. Did you mean 'summary'?\n")


def test_an_unknown_command_without_a_near_one_is_told_all(run):
    said = ", ".join(cli.main.list_commands(None))
    assert run("xyzzy").stderr.endswith(f"Error: No such command 'xyzzy'. The commands are {said}.\n")


def test_an_unknown_network_is_one_line(run):
    result = run("summary", "alexnt")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: no network is called 'alexnt'; there are alexnet, alexnet-one-tower, cifar-relu. "
        "Did you mean alexnet?\n"
    )
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CualexError("runs: expected this, got that. Do so."), 1),
        (UsageError("--classes 0: expected at least 1."), 2),
        (Unreadable("3 pictures could not be read."), 3),
        (Diverged("the loss is not finite."), 4),
        (OutOfMemory("batch 1 does not fit."), 5),
        (RunLocked("runs/train: process 12 trains there."), 6),
    ],
)
def test_each_kind_of_error_has_its_exit_code_and_one_line(run, raising, error, code):
    raising(error)
    result = run("fail")
    assert (result.exit_code, result.stderr) == (code, f"Error: {error}\n")


def test_verbose_shows_the_traceback_too(run, raising):
    raising(CualexError("a line"))
    for result in (run("-v", "fail"), run("fail", env={"CUALEX_DEBUG": "1"})):
        assert result.exit_code == 1
        assert result.stderr.startswith("Traceback (most recent call last):")
        assert result.stderr.endswith("\nError: a line\n")


def test_a_fault_of_cualex_keeps_its_traceback(run, raising):
    raising(ZeroDivisionError("ours"))
    assert isinstance(run("fail").exception, ZeroDivisionError)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/train/last.safetensors"),
            1,
            "cannot write runs/train/last.safetensors: the disk is full. "
            "Free some space, or name a place on another disk.",
        ),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            1,
            "cannot write the output: the disk is full. Free some space, or name a place on another disk.",
        ),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "runs"),
            1,
            "runs: not permitted. Change its permissions, or name another place.",
        ),
        (
            MemoryError("Unable to allocate 9 GiB"),
            5,
            "not enough memory (Unable to allocate 9 GiB): choose a smaller --batch-size.",
        ),
        (MemoryError(), 5, "not enough memory: choose a smaller --batch-size."),
    ],
)
def test_what_the_machine_lacks_is_one_line(run, raising, error, code, line):
    raising(error)
    result = run("fail")
    assert (result.exit_code, result.stderr) == (code, f"Error: {line}\n")


def test_ctrl_c_is_130(run, raising):
    raising(KeyboardInterrupt())
    result = run("fail")
    assert (result.exit_code, result.stderr.strip()) == (130, "Interrupted.")


def test_sigterm_is_143_and_can_be_handled_as_ctrl_c(run, raising):
    saved = []

    def work():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
        except KeyboardInterrupt:
            saved.append("checkpoint")
            raise

    before = signal.getsignal(signal.SIGTERM)
    raising(work)
    result = run("fail")
    assert (result.exit_code, result.stderr.strip(), saved) == (143, "Terminated.", ["checkpoint"])
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [("--help",), ("summary",), ("summary", "--json")])
def test_a_full_disk_behind_stdout_is_one_line(arguments):
    with open("/dev/full", "w") as full:
        done = program(*arguments, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == (
        "Error: cannot write the output: the disk is full. Free some space, or name a place on another disk.\n"
    )


@pytest.mark.parametrize("arguments", [("--help",), ("summary", "--json")])
def test_a_reader_that_has_gone_is_met_in_silence(arguments):
    read, write = os.pipe()
    os.close(read)
    done = program(*arguments, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_options_come_from_the_environment(run):
    result = run("summary", "--json", env={"CUALEX_SUMMARY_CLASSES": "7"})
    assert json.loads(result.stdout)["arguments"]["classes"] == 7


# --- what commands print


def test_a_document_is_plain_json(capsys):
    value = {"a": np.float32(0.5), "b": np.arange(3), "c": float("nan"), 4: (True, None), "é": np.inf}
    _output.document(value)
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": 0.5, "b": [0, 1, 2], "c": None, "4": [True, None], "é": None}
    assert "é" in out


def test_a_table_off_a_terminal_is_neither_wrapped_nor_cut_nor_interpreted(capsys):
    rows = [{"class": "[red]cat[/]" + "x" * 200, "pictures": 1234}, {"class": ":dog:", "pictures": None}]
    _output.table(rows, total={"class": "total", "pictures": 1234567})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["class", "pictures"]
    assert lines[2].split() == ["[red]cat[/]" + "x" * 200, "1,234"]
    assert lines[3] == ":dog:"
    assert lines[-1].split() == ["total", "1,234,567"]
    assert lines[2].index("1,234") + len("1,234") == len(lines[-1])


class Clock:
    """Be a clock that goes on only when told."""

    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """Put a clock of our own below the progress display."""
    clock = Clock()
    monkeypatch.setattr(_output, "time", clock)
    return clock


def test_progress_off_a_terminal_is_a_line_every_few_seconds(clock, capsys):
    with _output.Progress("Packing train", total=5000) as progress:
        for done, now in ((10, 101), (1000, 104), (1200, 105), (1300, 106), (2400, 110)):
            clock.now = now
            progress(done, "3 left out")
        clock.now = 120
        progress.done = 5000
    assert capsys.readouterr().err.splitlines() == [
        "Packing train: 1,200/5,000 pictures, 240/s, 16 s left, 3 left out",
        "Packing train: 2,400/5,000 pictures, 240/s, 11 s left, 3 left out",
        "Packing train: 5,000/5,000 pictures, 250/s, in 20 s, 3 left out",
    ]


def test_progress_that_goes_on_counts_its_rate_from_where_it_began(clock, capsys):
    with _output.Progress("Training", total=200, unit="updates", done=100) as progress:
        clock.now += 10
        progress(110)
    assert capsys.readouterr().err.splitlines()[0] == "Training: 110/200 updates, 1/s, 1 min 30 s left"


def test_progress_that_fails_does_not_claim_an_end(clock, capsys):
    with pytest.raises(ValueError, match="ours"), _output.Progress("Packing", total=5):
        raise ValueError("ours")
    assert capsys.readouterr().err == ""


def test_progress_on_a_terminal_is_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with _output.Progress("Packing [red]", total=4) as progress:
        progress.say("a [line] above")
        progress(4, "note [x]")
    said = screen.getvalue()
    assert "Packing [red]" in said
    assert "4/4 pictures" in said
    assert "note [x]" in said
    assert "a [line] above" in said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_durations(seconds, said):
    assert _output.duration(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (243_860_896, "244 MB"),
        (1.9e9, "1.9 GB"),
        (3e15, "3000 TB"),
    ],
)
def test_sizes(number, said):
    assert _output.size(number) == said


def test_nobody_is_asked_without_a_terminal():
    with pytest.raises(UsageError, match=r"^Pack 30 GB\? Nobody can be asked here: add --yes to go on\.$"):
        _output.confirm("Pack 30 GB?", yes=False)
    _output.confirm("Pack 30 GB?", yes=True)


def test_a_no_ends_with_1_and_nothing_done(monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "confirm", lambda *a, **k: False)
    with pytest.raises(click.exceptions.Exit) as ended:
        _output.confirm("Pack 30 GB?", yes=False)
    assert ended.value.exit_code == 1


def test_shared_options_are_what_they_say():
    @click.command()
    @_options.device
    @_options.seed
    @_options.batch_size(128)
    @_options.yes
    @_options.as_json
    def command(**given):
        click.echo(json.dumps(given))

    given = json.loads(CliRunner().invoke(command, ["-b", "3"], env={"CUALEX_DEVICE": "cpu,cpu"}).stdout)
    assert given == {"device": "cpu,cpu", "seed": 0, "batch_size": 3, "yes": False, "as_json": False}


def test_exit_outside_the_main_thread_sets_no_handler():
    from threading import Thread

    codes = []
    thread = Thread(target=lambda: codes.append(_exit.finish(lambda: None)))
    thread.start()
    thread.join()
    assert codes == [0]
