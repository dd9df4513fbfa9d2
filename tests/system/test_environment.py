"""What the program finds around it: cores, home, and files at offsets."""

import os
import threading

import pytest

from cualex.errors import OutputError
from cualex.system import cache, environment, files


@pytest.mark.parametrize(
    ("own", "limits", "quota"),
    [
        ("0::/\n", {}, None),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/user/one\n", {"user/cpu.max": "200000 100000", "user/one/cpu.max": "max 100000"}, 2.0),
        ("0::/user/one\n", {"user/cpu.max": "200000 100000", "user/one/cpu.max": "50000 100000"}, 0.5),
        ("0::/not/mounted\n", {"cpu.max": "300000 100000"}, 3.0),  # a container's group is its root
        (
            "5:memory:/a\n4:cpu,cpuacct:/a\n",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"},
            2.5,
        ),
        ("4:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, None),
        ("4:cpu:/a\n0::/b\n", {"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4.0),
    ],
)
def test_a_containers_quota_is_found(tmp_path, own, limits, quota):
    (tmp_path / "self").write_text(own)
    for name, text in limits.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert environment._quota(tmp_path / "groups", tmp_path / "self") == quota


@pytest.mark.parametrize(
    ("quota", "slurm", "expected"),
    [
        (None, None, 8),
        (1.5, None, 2),
        (0.25, None, 1),
        (100.0, None, 8),
        (None, "3", 3),
        (None, "16", 8),
        (2.0, "3", 2),
        (None, "0", 8),
        (None, "x", 8),
    ],
)
def test_cores_are_those_that_may_be_used(monkeypatch, quota, slurm, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setattr(environment, "_quota", lambda: quota)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    if slurm:
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", slurm)
    assert environment.cores() == expected


@pytest.fixture
def homeless(monkeypatch, tmp_path):
    """Be a user whom the machine does not know, without HOME."""
    for name in ("HOME", "XDG_CACHE_HOME", "CUALEX_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    return tmp_path / f"cualex-{os.getuid()}"


def test_without_a_home_the_cache_is_this_users_own(homeless):
    assert cache.place() == homeless / ".cache" / "cualex"
    assert homeless.stat().st_mode & 0o777 == 0o700
    assert cache.place() == homeless / ".cache" / "cualex"
    assert cache.expanded("~/photos").name == "photos"


def test_a_directory_that_another_user_has_made_is_not_used(homeless, tmp_path):
    """Who may write there could put kernels and packs in place of ours."""
    (tmp_path / "theirs").mkdir()
    homeless.symlink_to(tmp_path / "theirs")
    with pytest.raises(OutputError, match=r"belongs to another user; set CUALEX_CACHE, or HOME\."):
        cache.place()


@pytest.mark.parametrize("windows", [False, True])
def test_files_are_read_and_written_at_offsets(tmp_path, monkeypatch, windows):
    """By threads at once, also where the system has only a position for all of them."""
    if windows:
        for name in ("preadv", "pwrite"):
            monkeypatch.delattr(os, name)
    path, count = tmp_path / "file", 2000
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    found = [b""] * count

    def work(first):
        for i in range(first, count, 4):
            assert files.write_at(handle, b"%08d" % i, 8 * i) == 8
        for i in range(first, count, 4):
            view = memoryview(bytearray(8))
            assert files.read_at(handle, view, 8 * i) == 8
            found[i] = bytes(view)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"%08d" % i for i in range(count)]
    assert files.read_at(handle, memoryview(bytearray(8)), 8 * count) == 0
    os.close(handle)


def test_results_of_threads_are_in_the_order_of_what_is_given():
    told = []
    assert environment.in_threads(lambda number: number * number, range(5), lambda *done: told.append(done)) == [
        *(0, 1, 4, 9, 16)
    ]
    assert told == [(done, 5) for done in range(1, 6)]


def test_ctrl_c_does_not_wait_for_what_has_not_begun(monkeypatch):
    """Hundreds of kernels were compiled to the end before the program left."""
    monkeypatch.setattr(environment, "cores", lambda: 2)
    begun, interrupted = [], threading.Event()

    def work(number):
        begun.append(number)
        if number:
            assert interrupted.wait(60)

    def interrupt(done, total):
        interrupted.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        environment.in_threads(work, range(1000), interrupt)
    assert len(begun) < 900
