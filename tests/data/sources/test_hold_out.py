"""Which images of train validate: what moves them, how many they are, and the sets that runs of 0.1 go on with.

Nothing is decoded by sources.find, so the files hold their own names.
"""

import hashlib
import itertools
import random
import unicodedata

import pytest

from cualex.data import sources
from cualex.data.sources import hold_out
from cualex.data.sources.listing import File, order
from cualex.errors import DataError, UsageError
from tests.support.data_sets import in_folder, in_tar, in_zip


def held_out(names, share=0.2, seed=0, rule=hold_out.RULE):
    """Divide names of the form CLASS/FILE, in memory, and return those in val."""
    classes = {}
    for name in sorted(names, key=order):
        classes.setdefault(name.partition("/")[0], []).append(File(name, "", None))
    divided, taken = hold_out.divide({"train": classes}, [""], share, seed, rule)
    found = {file.name for files in divided.get("val", {}).values() for file in files}
    left = [file.name for files in divided["train"].values() for file in files]
    assert len(found) == taken
    assert sorted([*found, *left]) == sorted(names)
    return found


def drawn(rng, count, group="a"):
    """Draw names of one class."""
    return {f"{group}/{rng.getrandbits(60):015x}.jpg" for _ in range(count)}


def below(name, share=0.2, seed=0):
    """Tell on which side of the threshold a name lies."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share


PLAIN = "hash-threshold-1"


def moves(before, new, rule=PLAIN, **options):
    """Return the images of `before` that change sides when `new` are added."""
    return held_out(before, rule=rule, **options) ^ held_out(before | new, rule=rule, **options) & before


# --- what an image that comes or goes moves


@pytest.mark.slow
def test_in_200_sets_a_new_image_moves_no_other():
    rng, moved, moved_by_rank = random.Random(0), 0, 0
    for _ in range(200):
        names = drawn(rng, 40, "a") | drawn(rng, 40, "b")
        new = drawn(rng, 1, rng.choice("ab"))
        moved += len(moves(names, new))
        moved_by_rank += len(moves(names, new, rule="hash-rank-0"))
    assert moved == 0
    assert moved_by_rank > 20  # about a fifth of 200 is expected


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.9])
def test_another_moves_only_where_a_class_lies_on_one_side(share):
    """Both ways: adding `new`, or removing it."""
    rng, moved = random.Random(1), 0
    for _ in range(300):
        others, own, new = drawn(rng, 3, "b"), drawn(rng, rng.randint(1, 12)), drawn(rng, 1)
        found = moves(others | own, new, share=share)
        assert not found & others
        if len({below(name, share) for name in own}) == 2:
            assert not found
        assert len(found) <= 1
        moved += len(found)
    assert moved  # some classes do lie on one side


@pytest.mark.slow
def test_it_happens_as_rarely_as_the_docstring_says():
    """Five binomial deviations are allowed."""
    rng, p, q, trials = random.Random(2), 0.2, 0.8, 800
    for count in (2, 5, 10):
        chance = q**count * (p + q / (count + 1)) + p**count * (q + p / (count + 1))
        moved = sum(len(moves(drawn(rng, count), drawn(rng, 1))) for _ in range(trials))
        assert abs(moved / trials - chance) < 5 * (chance * (1 - chance) / trials) ** 0.5


def test_of_three_images_one_always_is_moved_by_another_and_never_more():
    """One of three is what the pigeonholes ask for, so no rule moves fewer."""
    rng = random.Random(3)
    for share in (0.2, 0.5, 0.8):
        for _ in range(100):
            three = drawn(rng, 3)
            assert sum(bool(moves(three - {new}, {new}, share=share)) for new in three) == 1


@pytest.mark.parametrize("rule", [hold_out.RULE, PLAIN])
def test_a_larger_share_takes_none_away(rule):
    rng, shares = random.Random(4), (0.01, 0.1, 0.2, 0.5, 0.9)
    for _ in range(100):
        names = drawn(rng, rng.randint(2, 60))
        for small, large in itertools.pairwise(shares):
            assert held_out(names, small, rule=rule) <= held_out(names, large, rule=rule)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.9])
def test_another_moves_one_at_most_where_the_number_is_kept_near_the_share(share):
    rng = random.Random(6)
    for count in [*range(1, 25), *range(25, 120, 7)]:
        others, own, new = drawn(rng, 3, "b"), drawn(rng, count), drawn(rng, 1)
        found = moves(others | own, new, rule=hold_out.RULE, share=share)
        assert not found & others
        assert len(found) <= 1


# --- how many


def test_small_classes_of_one_size_give_as_many():
    """By the threshold alone two classes of 10 gave 1 and 4."""
    rng, plain = random.Random(7), set()
    for _ in range(50):
        classes = [drawn(rng, 10, "a"), drawn(rng, 10, "b")]
        assert [len(held_out(names)) for names in classes] == [2, 2]
        plain.update(len(held_out(names, rule=PLAIN)) for names in classes)
        assert len(held_out(drawn(rng, 15))) == 3
        assert len(held_out(drawn(rng, 12))) in (2, 3)
    assert plain >= {1, 2, 3, 4}


def test_large_classes_are_divided_by_the_threshold_alone():
    """A class of 300 may give 28 images more or fewer than 60: four standard deviations."""
    rng = random.Random(8)
    for _ in range(20):
        names = drawn(rng, 300)
        assert held_out(names) == held_out(names, rule=PLAIN) == {name for name in names if below(name)}


@pytest.mark.parametrize("rule", [hold_out.RULE, PLAIN, "hash-rank-0"])
@pytest.mark.parametrize("share", [1e-9, 0.2, 0.5, 0.999])
def test_classes_of_two_or_more_are_in_both_splits(rule, share):
    rng = random.Random(5)
    for count in [2, 3, 4, 7, 20] * 20:
        assert 0 < len(held_out(drawn(rng, count), share, rule=rule)) < count
    assert not held_out(drawn(rng, 1), share, rule=rule)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.7])
@pytest.mark.parametrize("seed", [0, 7])
def test_the_share_is_right_over_many_names(share, seed):
    """Five binomial deviations are allowed; and names that only count up are as good as any."""
    names = {f"{group}/{number}.jpg" for group in "ab" for number in range(3_000)}
    found = held_out(names, share, seed)
    assert abs(len(found) / 6_000 - share) < 5 * (share * (1 - share) / 6_000) ** 0.5
    assert found == {name for name in names if below(name, share, seed)}


def test_another_seed_takes_others():
    names = {f"a/{number}.jpg" for number in range(1000)}
    assert len(held_out(names) & held_out(names, seed=1)) < 80  # 40 by chance, with a deviation of 6


# --- the name that counts

NAMES = [
    *(f"{group}/{number}.jpg" for group in ("ant", "caf\u00e9") for number in range(60)),
    *("ant/deeper/\u00fc.jpg", "caf\u00e9/\u00e9t\u00e9.jpg"),
]


def found(place, **options):
    """Return the names in val from the class on, in NFC."""
    names = [picture.name.split("/") for picture in sources.find(place, **options).splits["val"]]
    start = next(at for at, part in enumerate(names[0]) if part.startswith(("ant", "caf")))
    return {unicodedata.normalize("NFC", "/".join(parts[start:])) for parts in names}


@pytest.mark.parametrize("above", ["", "photos/", "train/", "photos/Train/"])
@pytest.mark.parametrize("spelling", ["NFC", "NFD"])
def test_a_set_is_divided_alike_in_every_form(tmp_path, monkeypatch, above, spelling):
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    names = [unicodedata.normalize(spelling, above + name) for name in NAMES]
    expected = held_out(NAMES)
    assert len(expected) > 10
    for form in (in_folder, in_zip, in_tar):
        assert found(form(tmp_path / "set", names)) == expected


def test_two_spellings_of_a_name_are_told_apart_where_one_must_go():
    """Two names, one hash: whatever the side, one image goes to either split, and always the same one."""
    two = ["a/\u00e9.jpg", "a/e\u0301.jpg"]
    for share in (0.01, 0.99):
        for seed in range(5):
            assert held_out(two, share, seed) == {"a/e\u0301.jpg"}  # "e" comes before the bytes of "é"


def test_a_list_of_classes_is_no_part_of_the_name(tmp_path):
    names, listed = [f"{number}.jpg" for number in range(200)], tmp_path / "list.txt"
    folder = in_folder(tmp_path / "set", names)

    def val(moved):
        listed.write_text("".join(f"{name} {'ab'[(int(name[:-4]) + moved) % 2]}\n" for name in names))
        return {picture.name for picture in sources.find(folder, names=listed).splits["val"]}

    assert val(0) == val(1) == {name for name in names if below(name)}


# --- sets with test/ and no val/


@pytest.fixture
def tested(tmp_path):
    """Make a set with train/ and test/."""
    counts = {"train": 50, "test": 9}
    return in_folder(
        tmp_path / "set",
        [f"{split}/{group}/{n}.jpg" for split, count in counts.items() for group in "ab" for n in range(count)],
    )


def sizes(source):
    return {split: len(pictures) for split, pictures in source.splits.items()}


def test_part_of_train_validates_and_test_is_left_alone(tested):
    source = sources.find(tested)
    expected = held_out([f"{group}/{number}.jpg" for group in "ab" for number in range(50)])
    assert {picture.name.removeprefix("train/") for picture in source.splits["val"]} == expected
    assert list(source.splits) == ["train", "val", "test"]
    assert sizes(source) == {"train": 100 - len(expected), "val": len(expected), "test": 18}
    assert source.validation == "val"
    assert source.notes == (
        f"val is held out from train: {len(expected)} of 100 images (--val-split 0.2); the test images choose neither "
        "epoch nor learning rate (--val test validates with them)",
    )


@pytest.mark.parametrize("val", ["test", "val-or-test"])
def test_test_validates_where_it_is_asked_to(tested, val):
    source = sources.find(tested, val=val)
    assert sizes(source) == {"train": 100, "test": 18}
    assert (source.validation, source.notes) == ("test", ())


def test_without_a_share_nothing_validates(tested):
    source = sources.find(tested, val_split=0)
    assert sizes(source) == {"train": 100, "test": 18}
    assert source.validation is None


@pytest.mark.parametrize(("val", "validates"), [("held-out", "val"), ("val-or-test", "val"), ("test", "test")])
def test_val_validates_where_there_is_one_unless_told(tested, val, validates):
    in_folder(tested, ["val/a/1.jpg", "val/b/1.jpg"])
    source = sources.find(tested, val=val)
    assert sizes(source) == {"train": 100, "val": 2, "test": 18}
    assert source.validation == validates


@pytest.mark.parametrize("names", [["a/1.jpg", "b/1.jpg"], ["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg"], "demo"])
def test_a_test_that_is_not_there_cannot_validate(tmp_path, names):
    place = "demo" if names == "demo" else in_folder(tmp_path / "set", names)
    with pytest.raises(DataError) as caught:
        sources.find(place, val="test")
    assert str(caught.value) == (
        f"{place}: no test/ to validate with; leave --val test out, or put images in test/CLASS/"
    )


# --- runs that began with other rules


def test_the_first_rule_is_as_it_was(tmp_path):
    """The figures are those of cualex 0.1 at 302536c, for a set inside a wrapping folder."""
    counts = {"ant": 7, "bee": 40, "caf\u00e9": 12, "cafe\u0301": 3, "one": 1, "two": 2}
    names = [f"photos/{group}/{number:03}.jpg" for group, count in counts.items() for number in range(count)]
    place = in_zip(tmp_path / "set", names)

    def val(**options):
        pictures = sources.find(place, split_rule="hash-rank-0", **options).splits["val"]
        return [picture.name.removeprefix("photos/") for picture in pictures]

    assert val() == [
        *(
            "ant/002.jpg",
            "bee/000.jpg",
            "bee/003.jpg",
            "bee/006.jpg",
            "bee/007.jpg",
            "bee/012.jpg",
            "bee/014.jpg",
        ),
        *(
            "bee/024.jpg",
            "bee/039.jpg",
            "caf\u00e9/001.jpg",
            "caf\u00e9/006.jpg",
            "caf\u00e9/011.jpg",
            "two/001.jpg",
        ),
    ]
    for options, count, digest in (
        ({"val_split": 0.5}, 33, "4cdbf6c71815f382"),
        ({"val_split": 0.05, "seed": 3}, 5, "5b3e24f61cfa26a7"),
        ({"val_split": 0.9}, 57, "da3a88e7e9da1186"),
    ):
        found = [f"photos/{name}" for name in val(**options)]
        assert len(found) == count
        assert hashlib.sha256("\n".join(found).encode()).hexdigest()[:16] == digest


def test_a_run_without_a_rule_is_one_of_the_first(tmp_path):
    assert hold_out.of_run({"val_split": 0.3, "recipe": {}}) == {
        "decoding": 2,
        "val_split": 0.3,
        "split_rule": "hash-rank-0",
        "val": "val-or-test",
    }
    said = {"val_split": 0.1, "split_rule": "hash-threshold-1", "val": "test", "decoding": 3}
    assert hold_out.of_run({**said, "data": "demo"}) == said


def test_what_another_cualex_may_have_recorded_is_refused(tmp_path):
    place = in_folder(tmp_path / "set", ["a/1.jpg", "a/2.jpg", "b/1.jpg"])
    with pytest.raises(UsageError) as caught:
        sources.find(place, split_rule="hash-2")
    assert str(caught.value) == (
        "split rule 'hash-2': expected hash-threshold-2 or hash-threshold-1 or hash-rank-0. "
        "Use the version of cualex that has it, or start a new run."
    )
    with pytest.raises(UsageError, match=r"^validation 'none': expected held-out, test, val-or-test$"):
        sources.find(place, val="none")
