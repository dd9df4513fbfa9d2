"""Locks between processes."""

import multiprocessing
import os
import subprocess
import sys

import pytest

from cualex.system import locks

HOLD = "import sys, pathlib; from cualex.system import locks; locks.lock(pathlib.Path(sys.argv[1])); print('locked', flush=True); input()"  # noqa: E501


LOOK = """import sys, portalocker
with open(sys.argv[1]) as file:
    portalocker.lock(file, portalocker.LockFlags.SHARED | portalocker.LockFlags.NON_BLOCKING)
    print("looks", flush=True)
    input()
print("has looked", flush=True)
input()"""


@pytest.fixture
def holder(tmp_path):
    """Lock a file in another process."""
    path = tmp_path / "run.lock"
    words = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        yield path, process
        process.kill()


def test_who_has_the_lock_is_said(holder):
    path, process = holder
    with pytest.raises(locks.Held, match=f"^process {process.pid} on .+$"):
        locks.lock(path)


def test_a_killed_process_leaves_no_lock(holder):
    path, process = holder
    process.kill()
    process.wait()
    locks.lock(path)()


def test_a_lock_is_free_again_when_it_is_unlocked(tmp_path):
    path = tmp_path / "lock"
    path.write_text("a longer text than the name of the process, which is gone " * 10)
    unlock = locks.lock(path)
    assert path.read_text().startswith(f"process {os.getpid()} on ")
    assert path.read_text().count("\n") == 1
    with pytest.raises(locks.Held):
        locks.lock(path)
    unlock()
    locks.lock(path)()


def test_a_process_that_is_forked_off_does_not_unlock(tmp_path):
    """As one of a pool would, when it ends."""
    path = tmp_path / "lock"
    unlock = locks.lock(path)
    child = multiprocessing.get_context("fork").Process(target=unlock)
    child.start()
    child.join()
    with pytest.raises(locks.Held):
        locks.lock(path)
    unlock()


def test_what_cannot_be_locked_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        locks.lock(tmp_path / "nowhere" / "lock")
    with pytest.raises(IsADirectoryError):
        locks.lock(tmp_path)


def test_two_that_look_at_a_lock_do_not_take_each_other_for_its_holder(tmp_path):
    import portalocker

    (tmp_path / "lock").touch()
    with open(tmp_path / "lock") as other:
        portalocker.lock(other, portalocker.LockFlags.SHARED | portalocker.LockFlags.NON_BLOCKING)
        assert not locks.is_held(tmp_path / "lock")
    unlock = locks.lock(tmp_path / "lock")
    assert locks.is_held(tmp_path / "lock")
    unlock()
    assert not locks.is_held(tmp_path / "lock")


def test_a_process_that_looks_at_a_lock_does_not_keep_another_from_it(tmp_path, monkeypatch):
    """As `cualex runs` does, caught while it has the lock for a moment."""
    path = tmp_path / "lock"
    path.touch()
    words = [sys.executable, "-c", LOOK, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "looks\n"

        def end_of_look(seconds):
            print(file=process.stdin, flush=True)
            assert process.stdout.readline() == "has looked\n"

        monkeypatch.setattr(locks.time, "sleep", end_of_look)
        locks.lock(path)()
        process.kill()


def test_a_file_that_is_removed_while_it_is_locked_is_locked_anew(tmp_path, monkeypatch):
    """As `cualex runs prune` does: the lock of the removed file would keep nobody else out."""
    import portalocker

    path, real = tmp_path / "lock", portalocker.lock

    def removed_meanwhile(handle, flags):
        monkeypatch.setattr(portalocker, "lock", real)
        path.unlink()
        real(handle, flags)

    monkeypatch.setattr(portalocker, "lock", removed_meanwhile)
    unlock = locks.lock(path)
    assert locks.is_held(path)
    unlock()
