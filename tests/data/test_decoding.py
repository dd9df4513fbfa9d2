"""Versions of decoding in packs, and notes on what was decoded without its colour profile."""

import struct

import numpy as np
import pytest
from PIL import Image

from cualex.cli import _packing
from cualex.data import image_kinds, sources
from cualex.data import pack as packs
from cualex.data.decoding import finish
from cualex.data.no_pack import unpacked
from tests.support.data_sets import everything
from tests.support.image_files import chunk, png

SIZE = 6


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make nine images of two classes."""
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(4)
    for name, count in (("ant", 4), ("bee", 5)):
        for number in range(count):
            path = tmp_path / "set/train" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (SIZE, SIZE + number, 3), dtype=np.uint8)).save(path)
    return tmp_path / "set"


@pytest.mark.parametrize("made", [image_kinds.FIRST_DECODING, image_kinds.DECODING])
@pytest.mark.parametrize("same", [True, False])
def test_a_pack_of_another_version_of_decoding_serves_where_the_pixels_are_the_same(folder, made, same):
    """One of the images has a transparent grey of 16 bits, which the first version did not apply."""
    if not same:
        key = chunk(b"tRNS", struct.pack(">H", 7))
        (folder / "train/ant/0.png").write_bytes(png(16, 0, struct.pack(">6H", *range(5, 11)), 6, key))
    source = sources.find(folder, val_split=0, decoding=made)
    first = everything(finish(packs.pack(source, "train", SIZE)))
    other = sources.find(folder, val_split=0, decoding=image_kinds.DECODING + image_kinds.FIRST_DECODING - made)
    for _ in range(2):  # the answer is kept
        assert (packs.existing(other, "train", SIZE) is not None) is same
    again = everything(finish(packs.pack(other, "train", SIZE)))
    assert (again == first).all() == same


@pytest.mark.parametrize("make", [packs.pack, unpacked])
def test_a_colour_profile_that_cannot_be_applied_is_noted(folder, make, capsys):
    image = folder / "train/ant/1.png"
    Image.open(image).save(image, icc_profile=b"no profile" * 20)
    for _ in range(2):  # made, then (as a pack) opened
        pack = finish(make(sources.find(folder, val_split=0), "train", SIZE))
        assert pack.noted == (("train/ant/1.png", "damaged colour profile, ignored"),)
        assert (len(pack), pack.skipped) == (9, ())
    _packing.packs(sources.find(folder, val_split=0), ["train"], SIZE, keep=make is packs.pack)
    said = capsys.readouterr().err
    assert (
        "train: 1 image was read without a colour profile:\n  train/ant/1.png: damaged colour profile, ignored\n"
        in said
    )
