"""Small images framed as photographs are, for the bundled network."""

import numpy as np
import pytest

from cualex.data import framing
from cualex.data import images as pictures
from cualex.data.framing import PLAIN, VARIANTS, Framed, framed

MIDDLE = [0.5, 0.5, 0.5, 0.5]  # zoom, aspect and place in the middle of what they may be
BILINEAR, SHARP, BLUR, AS_IT_IS = 0.0, 0.0, 0.5, 0.99


class Small:
    """Seven images of 32 pixels, read as a pack is."""

    size, classes = 32, ("a", "b")
    labels = np.arange(7, dtype=np.int32) % 2
    names = tuple(f"{number}.png" for number in range(7))
    images = np.random.default_rng(2).integers(0, 256, (7, 32, 32, 3), np.uint8)
    mean = images.mean(axis=0).astype(np.float32)

    def __len__(self):
        return 7

    def read(self, indices, out):
        out[:] = self.images[indices]


def drawn(zoom=None, aspect=0.5, x=0.5, y=0.5, kind=AS_IT_IS):
    """Return the numbers for a zoom given as itself, the rest as the numbers they are drawn as."""
    low, high = framing.ZOOM
    return [np.log(zoom / low) / np.log(high / low), aspect, x, y, BILINEAR, kind, 0.5, 0.0]


def ramp():
    """Return an image whose red counts columns and whose green counts rows."""
    rows, columns = np.mgrid[:32, :32] * 8
    return np.stack([columns, rows, np.full((32, 32), 7)], axis=2).astype(np.uint8)


def test_the_first_variants_are_the_images_themselves():
    pack, out = Framed(Small(), 76), np.empty((PLAIN * 7, 76, 76, 3), np.uint8)
    pack.read(np.arange(PLAIN * 7), out)
    for number, image in enumerate(out):
        np.testing.assert_array_equal(image, pictures.square(Small.images[number % 7], 76))


def test_labels_and_names_go_with_their_images():
    pack = Framed(Small(), 76)
    assert len(pack) == len(pack.labels) == len(pack.names) == 7 * VARIANTS
    assert pack.labels.tolist() == Small.labels.tolist() * VARIANTS
    assert pack.names == Small.names * VARIANTS
    assert pack.classes == ("a", "b")


def test_an_image_follows_from_seed_and_place_alone():
    every = np.arange(7 * VARIANTS)
    whole, parts, other = (np.empty((len(every), 40, 40, 3), np.uint8) for _ in range(3))
    Framed(Small(), 40).read(every, whole)
    for place in np.random.default_rng(0).permutation(every):
        Framed(Small(), 40).read(np.array([place]), parts[place : place + 1])
    np.testing.assert_array_equal(parts, whole)
    Framed(Small(), 40, seed=1).read(every, other)
    differ = (whole != other).any(axis=(1, 2, 3))
    assert not differ[: PLAIN * 7].any()
    assert differ[PLAIN * 7 :].all()


def test_at_its_own_size_and_place_an_image_is_itself():
    np.testing.assert_array_equal(framed(ramp(), 32, drawn(zoom=1.0)), ramp())


def test_a_wider_frame_shows_the_image_smaller_between_its_mirror_images():
    made = framed(ramp(), 48, drawn(zoom=1.5)).astype(int)
    np.testing.assert_array_equal(made[8:40, 8:40], ramp())
    np.testing.assert_array_equal(made[:8, 8:40], ramp()[7::-1])
    np.testing.assert_array_equal(made[8:40, 40:], ramp()[:, :23:-1])


def test_place_moves_the_frame_along_its_own_axis():
    right, down = (framed(ramp(), 24, drawn(zoom=0.75, **place)).astype(int) for place in ({"x": 1.0}, {"y": 1.0}))
    middle = framed(ramp(), 24, drawn(zoom=0.75)).astype(int)
    pixels = framing.SHIFT * 0.25 * 32 / 2 + framing.JITTER
    assert right[12, 12, 0] - middle[12, 12, 0] == pytest.approx(8 * pixels, abs=2)
    assert down[12, 12, 1] - middle[12, 12, 1] == pytest.approx(8 * pixels, abs=2)
    np.testing.assert_array_equal(right[..., 1], middle[..., 1])
    np.testing.assert_array_equal(down[..., 0], middle[..., 0])


def test_aspect_widens_one_side_and_narrows_the_other():
    wide = framed(ramp(), 32, drawn(zoom=1.0, aspect=1.0)).astype(int)
    steps = np.diff(wide[16, 12:20, 0]).mean(), np.diff(wide[12:20, 16, 1]).mean()
    assert steps[0] == pytest.approx(8 * framing.ASPECT**0.5, abs=0.3)
    assert steps[1] == pytest.approx(8 / framing.ASPECT**0.5, abs=0.3)


def test_sharpening_steepens_an_edge_and_blurring_flattens_it():
    edge = np.zeros((32, 32, 3), np.uint8)
    edge[:, 16:] = 120
    edge += 60
    kinds = (SHARP, BLUR, AS_IT_IS)
    sharp, blurred, same = (framed(edge, 32, drawn(zoom=1.0, kind=kind)).astype(int) for kind in kinds)
    np.testing.assert_array_equal(same, edge)
    assert np.diff(sharp[16, :, 0]).max() > 130 > 120 > np.diff(blurred[16, :, 0]).max()


def test_the_mean_is_that_of_the_images_as_they_are():
    pack = Framed(Small(), 76)
    enlarged = np.stack([pictures.square(image, 76) for image in Small.images]).mean(axis=0)
    # Each image's pixels are rounded to whole numbers, by half at the most, in each of two passes.
    assert np.abs(pack.mean - enlarged).max() <= 1.0
    assert pack.mean.dtype == np.float32
