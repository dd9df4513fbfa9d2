"""Damaged pictures of every format: each is a picture or a PictureError, soon and small, and never another's."""

import functools
import hashlib
import io
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

import cualex
from cualex.data import image_kinds, images, pack, sources
from cualex.data.decoding import finish
from cualex.errors import PictureError
from tests.support import colour_network, mutations, profiles
from tests.support.confined import results
from tests.support.data_sets import everything
from tests.support.image_files import chunk, encoded, jpeg, png

COUNT, FEW = 10_000, 300
SIZE, PIXELS = 32, 1_000_000
# A picture of PIXELS takes 4 MB in Pillow, and a few copies are made on the way to RGB. A GIF's first frame is made
# before its size can be asked, a byte a pixel, but never more than Pillow's own 179 million.
MEGABYTES = 200
PNG = ("1", "L", "LA", "RGB", "RGBA", "P", "P4")
TIFF = ("tiff_lzw", "tiff_deflate", "packbits")
SIDES = (1, 1000, 2000, 65535, 2**24, 2**31 - 1, 2**32 - 1)


@functools.cache
def seeds():
    """Make a whole picture of every kind, (name, bytes): all of noise, so that no two look alike."""
    rng = np.random.default_rng(2012)

    def noise(mode="RGB"):
        made = Image.fromarray(rng.integers(0, 256, (24, 31, 3)).astype(np.uint8))
        if mode in ("LA", "RGBA"):
            made.putalpha(Image.fromarray(rng.integers(0, 256, (24, 31)).astype(np.uint8)))
        return made.quantize(16) if mode == "P4" else made.convert(mode)

    deep = rng.integers(0, 65536, (24, 31)).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6

    def frames():
        return {"save_all": True, "append_images": [noise(), noise()]}

    profile, real = rng.bytes(3000), profiles.rgb(profiles.ADOBE_RGB, 2.2)
    key = chunk(b"tRNS", struct.pack(">H", 7))
    return [
        ("jpeg", encoded(noise(), "JPEG", exif=exif)),
        ("jpeg grey", encoded(noise("L"), "JPEG", optimize=True)),
        ("jpeg cmyk", encoded(noise("CMYK"), "JPEG", restart_marker_blocks=2)),
        ("jpeg progressive", encoded(noise(), "JPEG", progressive=True, icc_profile=profile)),
        ("jpeg cmyk progressive", encoded(noise("CMYK"), "JPEG", progressive=True, subsampling=0)),
        ("jpeg ycck", jpeg(rng.integers(0, 256, (3, 4, 4)).astype(np.uint8), transform=2)),
        ("jpeg of several pictures", encoded(noise(), "MPO", **frames())),
        *((f"png {mode}", encoded(noise(mode), "PNG", exif=exif)) for mode in PNG),
        ("png 16 bits", encoded(deep, "PNG")),
        ("png transparency", encoded(noise("P4"), "PNG", transparency=bytes(range(0, 256, 16)), icc_profile=profile)),
        ("png animated", encoded(noise("RGBA"), "PNG", **frames())),
        ("gif", encoded(noise("P"), "GIF", interlace=1)),
        ("gif animated", encoded(noise("P"), "GIF", transparency=3, loop=0, disposal=2, **frames())),
        ("webp", encoded(noise(), "WEBP")),
        ("webp lossless", encoded(noise(), "WEBP", lossless=True)),
        ("webp alpha", encoded(noise("RGBA"), "WEBP", exif=exif)),
        ("webp animated", encoded(noise(), "WEBP", lossless=True, **frames())),
        *((f"bmp {mode}", encoded(noise(mode), "BMP")) for mode in ("1", "L", "RGB", "RGBA", "P")),
        *((f"tiff {mode}", encoded(noise(mode), "TIFF")) for mode in ("L", "RGB", "RGBA", "CMYK", "P", "YCbCr")),
        *((f"tiff {how}", encoded(noise(), "TIFF", compression=how)) for how in TIFF),
        # Converted by Pillow, it would hold a profile with the time of the day.
        ("tiff LAB", encoded(Image.frombytes("LAB", (31, 24), rng.bytes(31 * 24 * 3)), "TIFF")),
        ("tiff jpeg", encoded(noise("L"), "TIFF", compression="jpeg")),
        ("tiff fax", encoded(noise("1"), "TIFF", compression="group4")),
        ("tiff 16 bits", encoded(deep, "TIFF")),
        ("tiff of floats", encoded(deep.astype(np.float32), "TIFF")),
        ("tiff large", encoded(noise(), "TIFF", big_tiff=True)),
        ("tiff of pages", encoded(noise(), "TIFF", exif=exif, **frames())),
        *((f"ppm {mode}", encoded(noise(mode), "PPM")) for mode in ("1", "L", "RGB")),
        ("jpeg of Adobe RGB", encoded(noise(), "JPEG", icc_profile=real)),
        ("png 16 bits and a transparent value", png(16, 0, deep[0].astype(">u2").tobytes(), 31, key)),
        ("dib", encoded(noise(), "DIB")),
        ("jp2", encoded(noise(), "JPEG2000", quality_layers=[0])),
        ("avif", encoded(noise(), "AVIF", quality=90)),
        ("ppm 16 bits", encoded(deep, "PPM")),
        ("ppm of text", b"P3\n4 2\n255\n" + b" ".join(b"%d" % v for v in rng.integers(0, 256, 24))),
    ]  # fmt: skip


def mutated(number):
    """Make damaged picture `number`: the name of what it was, and its bytes."""
    rng = np.random.default_rng([2012, number])
    every = seeds()
    name, data = every[number % len(every)]
    others = [other for _, other in every]
    way = number // len(every) % 8
    if way == 0:
        return name, mutations.claim(data, *(int(rng.choice(SIDES)) for _ in range(2)))
    if name.startswith("png") and way > 2:
        # Hardly any other damage would get past the checksums.
        data = (mutations.damage_lines if way > 4 else mutations.mutate)(rng, data, others)
        return name, mutations.sum_chunks(data)
    if name.startswith("tiff") and way == 1:
        data = mutations.looped(data) if name != "tiff large" else data
    return name, mutations.mutate(rng, data, others)


def seen(data, name):
    """Decode, and say what came of it: the digest of the pixels, or the reason."""
    try:
        made = images.load(data, SIZE, name, pixels=PIXELS)
    except PictureError as error:
        if error.name != name:
            raise AssertionError(f"{name} is called {error.name}") from error
        return {"reason": error.reason}
    assert made.shape == (SIZE, SIZE, 3)
    assert made.dtype == np.uint8
    return {"digest": hashlib.sha256(made.tobytes()).hexdigest()}


def damaged(count):
    """Yield what comes of every damaged picture; before the first, of the whole ones and of each way to fail."""
    yield [seen(data[: len(data) * part // 8], name) for name, data in seeds() for part in range(9)]
    for number in range(count):
        yield seen(mutated(number)[1], f"{number}.jpg")


def test_the_pictures_are_whole_before():
    kinds = {Image.open(io.BytesIO(data)).format for _, data in seeds()}
    assert kinds == {*image_kinds.FORMATS, "AVIF", "JPEG2000", "MPO"}
    for name, data in seeds():
        found = seen(data, name)
        assert "digest" in found or name == "tiff of floats", found
        assert mutations.claim(data, 77, 99) != data or name == "tiff large"


def test_a_claimed_size_is_what_the_header_says():
    for name, data in seeds():
        # A canvas that its one frame does not fill is refused, as is an AVIF; one picture lies on its side.
        if name not in ("tiff large", "webp alpha", "avif"):
            assert sorted(Image.open(io.BytesIO(mutations.claim(data, 77, 99))).size) == [77, 99], name


@pytest.mark.slow
@pytest.mark.parametrize("count", [FEW, pytest.param(COUNT, marks=pytest.mark.slow)])
def test_damage_gives_a_picture_or_a_reason(count, tmp_path, monkeypatch):
    """Tries 300 damaged images, 10,000 under `-m slow`.

    In a process of its own: no crash, no hang, no warning, no large memory; then the same through a pack and a network,
    where many are decoded at once, and each must answer for itself.
    """
    _, *outcomes = results(damaged, count, seconds=10, megabytes=MEGABYTES)
    assert len(outcomes) == count
    reasons = [outcome["reason"] for outcome in outcomes if "reason" in outcome]
    for reason in reasons:
        assert reason == " ".join(reason.split())
        assert len(reason) < 130
        assert "MemoryError" not in reason
        assert "Warning" not in reason
    # Damage that always or never shows would test nothing, in any format; a few tries do not tell.
    for kind in {name.split()[0] for name, _ in seeds()} if count >= 1000 else ():
        own = [number for number, (name, _) in enumerate(seeds()) if name.startswith(kind)]
        read = ["digest" in outcomes[n] for n in range(count) if n % len(seeds()) in own]
        assert 0.03 < sum(read) / len(read) < 0.95, kind
    for function in (images.load, images.inspect):
        monkeypatch.setitem(function.__kwdefaults__, "pixels", PIXELS)
    mutants = [mutated(number)[1] for number in range(count)]
    named_by_a_network(mutants, outcomes, held_in_a_pack(mutants, outcomes, tmp_path))


def held_in_a_pack(mutants, outcomes, place):
    """Pack them all: every name keeps its own pixels or its own reason, in the order of the names. Return pixels."""
    with zipfile.ZipFile(place / "set.zip", "w") as archive:
        for number, data in enumerate(mutants):
            archive.writestr(f"{'ab'[number % 2]}/{number:05}.jpg", data)
    source = sources.find(place / "set.zip", val_split=0)
    held = finish(pack.pack(source, "train", SIZE, cache=place / "cache", workers=3))
    pixels = dict(zip(held.names, everything(held), strict=True))
    found = {name: {"digest": hashlib.sha256(picture.tobytes()).hexdigest()} for name, picture in pixels.items()}
    assert list(found) == sorted(found)
    assert [held.classes[label] for label in held.labels] == [name[0] for name in held.names]
    found |= {name: {"reason": reason} for name, reason in held.skipped}
    assert len(found) == len(outcomes)
    for name, outcome in found.items():
        assert outcome == outcomes[int(name[2:7])]
    return {int(name[2:7]): picture for name, picture in pixels.items()}


def named_by_a_network(mutants, outcomes, pixels):
    """Let a network see them in batches: what its first layer passes on are the pixels of the picture itself."""
    model = cualex.Model(colour_network.made())
    answers = model.each([(f"{number}.jpg", data) for number, data in enumerate(mutants)], "relu1")
    for number, (outcome, answer) in enumerate(zip(outcomes, answers, strict=True)):
        if isinstance(answer, PictureError):
            assert (answer.name, answer.reason) == (f"{number}.jpg", outcome["reason"])
        else:
            assert (answer[:3] == pixels[number][2:29, 2:29].transpose(2, 0, 1)).all(), number
