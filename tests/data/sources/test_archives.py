"""Archives as data sets: damaged, locked, hostile, read by many threads at once."""

import io
import tarfile
import threading
import zipfile

import pytest

from cualex.data import sources
from cualex.errors import DataError, OutputError, PictureError
from tests.support.data_sets import FORMS, PLAIN, contents, in_tar, in_tar_gz, in_zip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("form", FORMS[1:])
def test_archives_cut_short(tmp_path, form):
    names = [f"{group}/{number}.jpg" for group in "ab" for number in range(300)]
    archive = form(tmp_path / "set", names)
    data = archive.read_bytes()
    for length in (4, len(data) // 2 - 100, len(data) - len(data) // 4 - 100):
        archive.write_bytes(data[:length])
        with pytest.raises(DataError, match=r"copy or download it again$") as caught:
            sources.find(archive)
        assert str(caught.value).startswith(f"{archive}: ")
        assert "\n" not in str(caught.value)


def test_a_tar_cut_between_two_members_is_noted(tmp_path):
    archive = in_tar(tmp_path / "set", PLAIN)
    archive.write_bytes(archive.read_bytes()[: 1024 * (len(PLAIN) - 2)])
    source = sources.find(archive, val_split=0)
    assert len(source.splits["train"]) == len(PLAIN) - 2
    assert source.notes == ("the tar has no end mark: it may have been cut short",)


def test_a_file_that_is_no_archive(tmp_path):
    file = tmp_path / "notes.txt"
    for text in (b"", b"Meeting on Monday\n" * 100):
        file.write_bytes(text)
        with pytest.raises(DataError, match=r"notes\.txt: neither a folder nor a whole \.zip or \.tar \("):
            sources.find(file)


def test_a_damaged_member_of_a_zip_is_one_pictures_fault(tmp_path):
    archive = in_zip(tmp_path / "set", PLAIN, zipfile.ZIP_STORED)
    data = archive.read_bytes()
    where = data.index(b"dog/2.jpgdog/2.jpg") + len("dog/2.jpg")
    archive.write_bytes(data[:where] + b"X" + data[where + 1 :])
    source = sources.find(archive, val_split=0)
    for picture in source.splits["train"]:
        if picture.name == "dog/2.jpg":
            with pytest.raises(PictureError, match=r"^dog/2\.jpg: cannot be read from the zip \(Bad CRC-32"):
                picture.read()
        else:
            assert picture.read() == picture.name.encode()


def lock(archive, members):
    """Mark the first members of a zip as encrypted."""
    data, place = bytearray(archive.read_bytes()), 0
    for _ in range(members):
        place = data.index(b"PK\1\2", place) + 8
        data[place] |= 1
    archive.write_bytes(data)


def test_a_locked_member_is_left_out(tmp_path):
    archive = in_zip(tmp_path / "set", PLAIN)
    lock(archive, 1)
    source = sources.find(archive, val_split=0)
    assert [image.name for image in source.splits["train"]] == sorted(PLAIN[1:])
    assert source.notes == ("1 files of the archive are left out: they are encrypted",)


def test_a_locked_zip_is_refused(tmp_path):
    archive = in_zip(tmp_path / "set", PLAIN)
    lock(archive, len(PLAIN))
    with pytest.raises(DataError, match=r"set\.zip: encrypted; extract it and give the folder$"):
        sources.find(archive)


def test_a_member_too_large_for_a_picture(tmp_path, monkeypatch):
    monkeypatch.setattr("cualex.data.images.BYTES", 1_000_000)
    big = "a/" + "x" * 1_000_000
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.jpg", big)
        archive.writestr("b/2.jpg", "b")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for name, text in (("a/1.jpg", big), ("b/2.jpg", "b")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    for name in ("set.zip", "set.tar"):
        picture = sources.find(tmp_path / name, val_split=0).splits["train"][0]
        with pytest.raises(PictureError, match=r"^a/1\.jpg: larger than 1 MB, too large for an image$"):
            picture.read()


def test_hostile_names_in_archives_lead_nowhere(tmp_path):
    names = ["a/1.jpg", "b/2.jpg", "../../evil/3.jpg", "/etc/a/4.jpg", "./a/5.jpg", "a/../../6.jpg"]
    tar = in_tar(tmp_path / "set", names)
    with tarfile.open(tar, "a") as archive:
        for kind, name in (
            (tarfile.SYMTYPE, "a/7.jpg"),
            (tarfile.LNKTYPE, "a/8.jpg"),
            (tarfile.CHRTYPE, "a/9.jpg"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    before = set(tmp_path.rglob("*"))
    for archive, special in ((tar, True), (in_zip(tmp_path / "set", names), False)):
        source = sources.find(archive, val_split=0)
        assert [p.name for p in source.splits["train"]] == ["a/1.jpg", "a/5.jpg", "b/2.jpg", "etc/a/4.jpg"]
        assert [p.read() for p in source.splits["train"]] == [
            b"a/1.jpg",
            b"./a/5.jpg",
            b"b/2.jpg",
            b"/etc/a/4.jpg",
        ]
        assert "2 files of the archive are left out: their names lead out of it with .." in source.notes
        assert ("3 links or special files of the archive are left out" in source.notes) == special
    assert set(tmp_path.rglob("*")) == before | {tmp_path / "set.zip"}


def test_a_name_twice_in_an_archive_counts_once(tmp_path):
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for text in ("a/1.jpg", "b/2.jpg", "a/1.jpg"):
            member = tarfile.TarInfo(text)
            member.size = 9
            archive.addfile(member, io.BytesIO(b"%-9d" % archive.offset))
    source = sources.find(tmp_path / "set.tar", val_split=0)
    assert [p.name for p in source.splits["train"]] == ["a/1.jpg", "b/2.jpg"]
    assert source.splits["train"][0].read() == b"2048     "
    assert source.notes == ("1 files are there twice: the later one of each counts",)


@pytest.mark.parametrize("form", [in_zip, in_tar, in_tar_gz])
def test_threads_read_an_archive_at_once(tmp_path, form):
    names = [f"{group}/{number}.jpg" for group in "ab" for number in range(50)]
    pictures = sources.find(form(tmp_path / "set", names), val_split=0).splits["train"]
    wrong = []

    def work(start):
        for turn in range(300):
            picture = pictures[(start + turn * 37) % len(pictures)]
            if picture.read() != picture.name.encode():
                wrong.append(picture.name)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_compressed_tar_leaves_nothing_behind(tmp_path, cache):
    source = sources.find(in_tar_gz(tmp_path / "set", PLAIN))
    assert list(cache.iterdir()) == []
    assert contents(source)


def test_a_full_or_closed_cache_is_said(tmp_path, monkeypatch):
    archive = in_tar_gz(tmp_path / "set", PLAIN)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(OutputError) as caught:
        sources.find(archive)
    assert str(caught.value) == (
        f"{tmp_path}/file/below: the cache cannot be written (Not a directory); set CUALEX_CACHE to another directory"
    )
