"""The command line as a user meets it: help, errors word for word, exit codes."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import click
import pytest
from click.testing import CliRunner

from cualex import cli, networks
from cualex.cli import _exit
from cualex.errors import CualexError, Diverged, OutOfMemory, Unreadable, UsageError

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


@pytest.mark.parametrize("number", ["nan", "inf", "1e999"])
def test_numbers_are_finite_in_all_commands(number):
    """The comparisons of click's own type let NaN pass, and Inf where there is no upper bound."""
    context = click.Context(cli.main)
    commands = [cli.main.get_command(context, name) for name in cli.main.list_commands(context)]
    commands += [own for each in commands for own in getattr(each, "commands", {}).values()]
    options = [each for command in commands for each in command.params if isinstance(each.type, click.FloatRange)]
    assert {"--lr", "--momentum", "--older", "--min"} <= {each.opts[0] for each in options}
    for each in options:
        with pytest.raises(click.BadParameter):
            each.type.convert(number, each, context)


def test_a_number_that_is_not_finite_is_one_line(run):
    result = run("train", "--lr", "nan")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("Error: Invalid value for '--lr': nan is not a finite number.\n")


def test_an_unknown_network_is_one_line(run):
    result = run("summary", "alexnt")
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: no network is called 'alexnt'; there are {', '.join(networks.names())}. Did you mean alexnet?\n"
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
            "Free some space, or choose a path on another disk.",
        ),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            1,
            "cannot write the output: the disk is full. Free some space, or choose a path on another disk.",
        ),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "runs"),
            1,
            "runs: permission denied. Change its permissions, or choose another path.",
        ),
        (
            MemoryError("Unable to allocate 9 GiB"),
            5,
            "not enough memory (Unable to allocate 9 GiB): choose a smaller --batch-size, or a smaller network.",
        ),
        (MemoryError(), 5, "not enough memory: choose a smaller --batch-size, or a smaller network."),
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
        "Error: cannot write the output: the disk is full. Free some space, or choose a path on another disk.\n"
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


def test_exit_outside_the_main_thread_sets_no_handler():
    from threading import Thread

    codes = []
    thread = Thread(target=lambda: codes.append(_exit.finish(lambda: None)))
    thread.start()
    thread.join()
    assert codes == [0]


DROPPING = {
    "weak reference": "reference = weakref.ref(victim, lambda _: os.kill(os.getpid(), number))\n",
    "finaliser": "Victim.__del__ = lambda self: os.kill(os.getpid(), number)\n",
    "garbage collection": "gc.callbacks.append(lambda phase, _: phase == 'stop' and os.kill(os.getpid(), number))\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("setting", DROPPING.values(), ids=list(DROPPING))
def test_a_signal_where_python_drops_exceptions_is_not_lost(setting, number):
    code = (
        "import gc, os, sys, time, weakref\n"
        "from cualex.cli import _exit\n"
        "_exit.AGAIN = 0.5\n"  # after `dropped` is printed, on a busy machine too
        "import click\n"
        "class Victim: pass\n"
        f"victim, number = Victim(), {int(number)}\n"
        f"{setting}"
        "def work():\n"
        "    global victim\n"
        "    try:\n"
        "        victim = None\n"
        "        gc.collect()\n"
        "        gc.callbacks.clear()\n"
        "        print('dropped')\n"
        "        time.sleep(20)\n"
        "    except KeyboardInterrupt as error:\n"
        "        raise click.Abort from error\n"
        "sys.exit(_exit.finish(work))\n"
    )
    result = program(code=code, capture_output=True)
    assert (result.returncode, result.stdout) == (128 + number, "dropped\n"), result.stderr
    assert "Exception ignored" not in result.stderr


HIDING = {
    # between two lines of threading.Condition.wait: `with` then leaves a lock that is not held
    "lock": (
        "condition = threading.Condition(threading.Lock())\n"
        "def work():\n"
        "    with condition:\n"
        "        condition.release()\n"
        "        os.kill(os.getpid(), number)\n"
    ),
    # while a class is made: Python 3.11 raises RuntimeError from what came upon __set_name__
    "class": (
        "class Field:\n"
        "    def __set_name__(self, owner, name):\n"
        "        os.kill(os.getpid(), number)\n"
        "        time.sleep(20)\n"
        "def work():\n"
        "    class Owner:\n"
        "        field = Field()\n"
    ),
    # as extension modules do, under a library that tells it in its own way
    "library": (
        "def work():\n"
        "    try:\n"
        "        try:\n"
        "            os.kill(os.getpid(), number)\n"
        "            time.sleep(20)\n"
        "        except KeyboardInterrupt as error:\n"
        "            raise SystemError('an error was set') from error\n"
        "    except Exception as error:\n"
        "        raise WeightsError('the file cannot be read') from error\n"
    ),
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("work", HIDING.values(), ids=list(HIDING))
def test_a_signal_in_whose_place_another_error_is_raised_ends_as_a_signal(work, number):
    code = (
        "import os, sys, threading, time\n"
        "from cualex.cli import _exit\n"
        "from cualex.errors import WeightsError\n"
        f"number = {int(number)}\n"
        f"{work}"
        "sys.exit(_exit.finish(work))\n"
    )
    result = program(code=code, capture_output=True)
    assert result.returncode == 128 + number, result.stderr
    assert result.stderr in {"Interrupted.\n", "Terminated.\n"}


def test_an_error_of_a_lock_without_a_signal_is_a_fault():
    code = (
        "import sys, threading\n"
        "from cualex.cli import _exit\n"
        "def work():\n"
        "    with threading.Condition(threading.Lock()) as _:\n"
        "        _lock.release()\n"
        "        raise ValueError\n"
        "_lock = threading.Lock()\n"
        "sys.exit(_exit.finish(work))\n"
    )
    assert "release unlocked lock" in program(code=code, capture_output=True).stderr


def test_a_command_with_a_hyphen_is_a_file_with_an_underscore(tmp_path, monkeypatch):
    (tmp_path / "dream_on.py").write_text(
        "import click\n\n@click.command()\ndef dream_on():\n    click.echo('on and on')\n"
    )
    monkeypatch.setattr("cualex.cli.__path__", [*cli.__path__, str(tmp_path)])
    assert "dream-on" in CliRunner().invoke(cli.main, ["--help"]).output
    assert CliRunner().invoke(cli.main, ["dream-on"]).output == "on and on\n"
