"""What plots of data choose to show: images, mistakes, confusions, and the views of augmentation."""

import dataclasses

import numpy as np
import pytest

from cualex import networks
from cualex.data.batches import Stream
from cualex.data.colour_noise import ILSVRC2012, Components, Noise
from cualex.errors import UsageError
from cualex.plots import augment, confusion, curves, gallery
from cualex.training.recipes import Recipe
from cualex.training.run import Run
from tests.golden import pictures
from tests.support import plot_texts


def test_images_are_drawn_of_as_many_classes_as_there_are():
    labels = np.repeat([0, 1, 2], [50, 3, 1])
    chosen = gallery.chosen(labels, 5, seed=1)
    assert sorted(labels[chosen[:3]].tolist()) == [0, 1, 2]
    assert sorted(labels[chosen].tolist()) == [0, 0, 1, 1, 2]
    assert len(set(chosen.tolist())) == 5
    assert np.array_equal(gallery.chosen(labels, 5, seed=1), chosen)
    assert not np.array_equal(gallery.chosen(labels, 5, seed=2), chosen)
    assert sorted(gallery.chosen(labels, 99).tolist()) == list(range(54))


def test_the_most_confident_mistake_comes_first_and_nan_is_none():
    found = pictures.evaluation(("a", "b"), [[2, 1], [1, 2]])
    found = dataclasses.replace(
        found,
        named=np.array([0, -1, 1, 0, 1, 1]),
        probabilities=np.array([0.9, np.nan, 0.6, 0.8, 0.7, 0.7], np.float32),
    )
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert gallery.mistaken(found).tolist() == [3, 2]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        *((1, "100 %"), (0.9996, ">99.9 %"), (0.996, "99.6 %"), (0.994, "99 %"), (0.0995, "10 %"), (0.03, "3.0 %")),
        *((0.0004, "<0.1 %"), (0, "0 %"), (np.nan, "NaN")),
    ],
)
def test_probabilities_have_two_digits(share, text):
    assert gallery.percent(share) == text


def test_a_last_row_is_filled_where_smaller_images_do_it():
    """Eight images with long names were three, three and two in rows."""
    side = gallery.even(8, gallery.SIDE[1], gallery.SIDE)
    assert gallery.SIDE[0] <= side < gallery.SIDE[1]
    assert len({top for _, top in gallery.grid(8, side, 3.0)[1]}) == 2
    assert [gallery.even(count, 2.9, gallery.SIDE) for count in (1, 2, 3, 6, 7)] == [2.9] * 5


def test_images_grow_for_long_names_and_rows_hold_fewer():
    short, long = (gallery._side([name], gallery.SIDE, bold=False) for name in ("cat", pictures.LONG))
    assert (short, long) == (gallery.SIDE[0], pytest.approx(2.63, abs=0.1))
    rows = [len({top for _, top in gallery.grid(8, side, 3.0)[1]}) for side in (short, long)]
    assert rows == [2, 3]


def test_classes_that_are_confused_lie_together():
    counts = pictures.confused(60, 6)
    order = confusion.similar_together(counts / counts.sum(axis=1, keepdims=True))
    group = np.random.default_rng(7).permutation(60) % 6
    assert sorted(order.tolist()) == list(range(60))
    assert (np.diff(group[order]) != 0).sum() == 5  # each of six groups is one piece


def test_chains_of_classes_are_joined_at_their_strongest_confusions():
    shares = np.zeros((5, 5))
    shares[0, 3], shares[3, 1], shares[4, 0] = 0.5, 0.4, 0.3  # class 2 is confused with none
    assert confusion.similar_together(shares).tolist() == [1, 3, 0, 4, 2]
    assert confusion.similar_together(np.zeros((3, 3))).tolist() == [0, 1, 2]


def test_classes_without_an_image_are_left_out_of_many(tmp_path, monkeypatch):
    """Of 1,000 classes a folder of 99 images was an empty square, eight classes a cell."""
    texts = plot_texts.record(monkeypatch)
    counts = np.zeros((60, 60), int)
    counts[7, 7], counts[7, 50], counts[12, 3] = 5, 2, 1
    found = pictures.evaluation([f"class {index}" for index in range(60)], counts)
    confusion.draw(found, tmp_path / "a.png")
    assert "Left out: 56 classes, which no image is of or was taken for." in " ".join(texts)
    assert {each for each in texts if each.startswith("class ")} == {"class 3", "class 7", "class 12", "class 50"}
    assert {"5", "2", "1"} < set(texts)
    few = pictures.evaluation(["class 0", "class 1", "class 2"], np.diag([4, 0, 0]))
    confusion.draw(few, tmp_path / "b.png")
    assert {"class 0", "class 1", "class 2"} <= set(texts)
    assert "Left out" not in " ".join(texts)


def test_an_overview_sums_squares_of_classes():
    summed = confusion._summed(np.arange(9).reshape(3, 3), 2)
    assert summed.tolist() == [[0 + 1 + 3 + 4, 2 + 5], [6 + 7, 8]]


def test_a_training_shows_the_views_that_are_drawn():
    """Of the stream that trains: crops at its places, mirrored, with its noise added."""
    network = networks.build("alexnet", crop=67, classes=10)
    image, recipe = pictures.scene(network.stored), Recipe(seed=5)
    shown = augment.shown(image, network, recipe, None, 6)
    stream = Stream(augment.OneImage(image, ILSVRC2012), 5, 67, True, Noise(ILSVRC2012, 0.1))
    for epoch in range(6):
        stored, views = np.empty((1, 76, 76, 3), np.uint8), np.empty((1, 3), np.int32)
        colours, labels = np.empty((1, 3), np.float32), np.empty(1, np.int32)
        stream.fill(epoch, stored, views, labels, colours)
        row, column, mirror = views[0]
        crop = image[row : row + 67, column : column + 67]
        expected = np.clip(np.rint((crop[:, ::-1] if mirror else crop) + colours[0]), 0, 255)
        assert np.array_equal(shown.images[epoch], expected)
    assert len(np.unique(shown.views, axis=0)) == 6
    assert set(shown.views[:, 2].tolist()) == {0, 1}
    assert np.abs(shown.colours).min() > 0


def test_components_of_the_runs_own_images_are_taken():
    network = networks.build("alexnet", crop=67, classes=10)
    red = Components((900.0, 0.0, 0.0), ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    shown = augment.shown(pictures.scene(76), network, Recipe(), red, 3)
    assert (shown.colours[:, 1:] == 0).all()
    assert (shown.colours[:, 0] != 0).all()
    plain = augment.shown(pictures.scene(76), network, Recipe(augment=False), red, 2)
    assert (plain.views == [4, 4, 0]).all()
    assert (plain.colours == 0).all()


def test_the_recipe_is_that_of_the_weights_run(tmp_path):
    import json

    assert augment.recipe_of(None) == (Recipe(), None)
    recipe = Recipe(colour_noise=0.0, seed=3)
    red = {"variances": [9.0, 0.0, 0.0], "directions": np.eye(3).tolist()}
    (tmp_path / "args.json").write_text(json.dumps({"recipe": recipe.described(), "colours": red}))
    (tmp_path / "best.safetensors").touch()
    for weights in (tmp_path, tmp_path / "best.safetensors"):
        found, components = augment.recipe_of(weights)
        assert found == recipe
        assert components.variances == (9.0, 0.0, 0.0)


def test_runs_are_called_by_their_directory_or_by_their_path(tmp_path):
    runs = [Run(tmp_path / name) for name in ("one/train", "two/train", "two/other")]
    assert curves.names_of(runs) == [str(tmp_path / "one/train"), str(tmp_path / "two/train"), "other"]


def test_a_directory_without_epochs_is_refused(tmp_path):
    (tmp_path / "results.csv").write_text("epoch,time\n")
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError) as error:
            curves.draw_runs([Run(place)], tmp_path / "a.png")
        assert str(error.value) == (
            f"{place}: expected the directory of a run with results.csv, in which an epoch has ended. "
            "Give one in runs/."
        )
    assert not (tmp_path / "a.png").exists()
