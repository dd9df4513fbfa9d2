"""Files are there whole or not at all, whatever stops the writer."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from cualex.errors import OutputError
from cualex.system import files


def failing(number, after="half"):
    """Make a writer that meets an error of the system."""

    def write(part):
        part.write_text(after)
        raise OSError(number, os.strerror(number))

    return write


def test_a_new_file_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "a.txt"
    files.replace_text(path, "old")
    files.replace_text(str(path), "new\n")
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"new\n", ["a.txt"])


def test_lines_end_the_same_everywhere_and_names_keep_their_bytes(tmp_path):
    files.replace_text(tmp_path / "a.txt", "é\ncaf\udce9\r\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\ncaf\xe9\r\n"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full. Free some space, or choose a path on another disk."),
        (errno.EDQUOT, "the quota is used up. Free some space, or choose another path."),
        (errno.EFBIG, "the file would be larger than this system allows. Choose another path."),
        (errno.EACCES, "permission denied. Choose a writable path."),
        (errno.EROFS, "the file system is read-only. Choose a writable path."),
        (errno.EIO, "Input/output error"),
    ],
)
def test_an_error_of_the_system_leaves_the_old_file(tmp_path, number, words):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OutputError) as caught:
        files.replace(path, failing(number))
    assert str(caught.value) == f"cannot write {path}: {words}"
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["a.txt"])


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_else_stops_the_writer_leaves_the_old_file(tmp_path, error):
    def write(part):
        part.write_text("half")
        raise error

    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error):
        files.replace(path, write)
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["a.txt"])


def test_places_that_cannot_be_are_said(tmp_path):
    (tmp_path / "file").write_text("")
    for place, words in (
        (tmp_path / "none" / "a.txt", "its directory does not exist. Create it first, or choose another path."),
        (tmp_path / "file" / "a.txt", "a part of the path is a file, not a directory. Choose another path."),
        (tmp_path / ("x" * 300), "the name is too long. Choose a shorter one."),
    ):
        with pytest.raises(OutputError) as caught:
            files.replace_text(place, "new")
        assert str(caught.value) == f"cannot write {place}: {words}"


def test_what_is_no_file_is_refused_before_anything_is_computed(tmp_path):
    """A rename would put a plain file in the place of a device, for everyone on the machine."""
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(OutputError) as caught:
            files.replace(place, lambda part: pytest.fail("the work was done for nothing"))
        assert str(caught.value) == f"cannot write {place}: it is a directory or a device. Choose a file."
    assert (tmp_path / "pipe").is_fifo()


def test_the_new_bytes_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    """In this order: the new file flushed, read back, the old one renamed, the new one, the directory flushed."""
    seen = []
    fsync, replace = os.fsync, os.replace

    def flushed(handle):
        seen.append(("flush", os.path.basename(os.path.realpath(f"/proc/self/fd/{handle}"))))
        fsync(handle)

    def renamed(old, new):
        seen.append(("rename", os.path.basename(old), os.path.basename(new)))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    path, before = tmp_path / "a.txt", tmp_path / "before.txt"
    path.write_text("old")
    files.replace(
        path, lambda part: part.write_text("new"), lambda part: seen.append(("check", part.read_text())), before
    )
    part = f".a.txt.{os.getpid()}.part"
    assert seen == [
        ("flush", part),
        ("check", "new"),
        ("rename", "a.txt", "before.txt"),
        ("rename", part, "a.txt"),
        ("flush", tmp_path.name),
    ]
    assert (path.read_text(), before.read_text()) == ("new", "old")


def test_what_does_not_pass_its_check_never_takes_the_place(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def check(part):
        raise OutputError(f"{part.read_text()} is not what was meant")

    with pytest.raises(OutputError, match="new is not what was meant"):
        files.replace(path, lambda part: part.write_text("new"), check, tmp_path / "before.txt")
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["a.txt"])


def test_leftovers_are_swept_and_nothing_else(tmp_path):
    for name in (".a.txt.123.part", "a.part", ".hidden", "a.txt"):
        (tmp_path / name).write_text("")
    files.sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".hidden", "a.part", "a.txt"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_kill_at_any_time_leaves_a_whole_file(tmp_path):
    """Twelve writers of 4 MB are killed while they write again and again."""
    path = tmp_path / "big"
    code = (
        "import sys; from cualex.system import files\n"
        "number = 0\n"
        "while True:\n"
        "    number += 1\n"
        "    data = bytes([number % 256]) * 4_000_000\n"
        "    files.replace(sys.argv[1], lambda part: part.write_bytes(data))\n"
    )
    for delay in range(12):
        path.unlink(missing_ok=True)
        with subprocess.Popen([sys.executable, "-c", code, path]) as writer:
            while not path.exists():
                time.sleep(0.002)
            time.sleep(0.003 * delay)
            writer.send_signal(signal.SIGKILL)
        held = path.read_bytes()
        assert len(held) == 4_000_000
        assert set(held[:1]) == set(held)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_files_have_the_mode_of_the_umask(tmp_path, umask, mode):
    """Also where a library makes them for their owner alone, as safetensors does."""

    def alone(part):
        part.unlink()
        os.close(os.open(part, os.O_CREAT | os.O_WRONLY, 0o600))

    before = os.umask(umask)
    try:
        files.replace(tmp_path / "alone", alone)
        files.replace_text(tmp_path / "text", "x")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("alone", "text")] == [mode, mode]
