"""The figure of all plots: its bytes, its endings, its title, and the numbers beside it."""

import csv

import numpy as np
import pytest
from PIL import Image

from cualex.errors import OutputError, UsageError
from cualex.plots import figure
from cualex.plots.text import file_title, fitted, label, short, width_of, wrapped
from cualex.plots.theme import DPI, MARGIN, THEMES


def draw(path, title="A title", subtitle="What it is.", theme=THEMES["light"], size=(5.0, 1.0)):
    with figure.figure(path, size, title, subtitle, theme) as drawn:
        axes = figure.place(drawn, 1, 0.25, 2, 0.5)
        axes.imshow(np.zeros((2, 2, 3)), aspect="auto")


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_same_plot_has_the_same_bytes_whatever_the_user_has_set(tmp_path, ending):
    import matplotlib

    draw(tmp_path / f"one.{ending}")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.bbox": "tight"}):
        draw(tmp_path / f"two.{ending}")
        assert matplotlib.rcParams["font.size"] == 30
    one, two = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("one", "two"))
    assert one == two
    assert one.startswith(b"\x89PNG" if ending == "png" else b"<?xml")
    assert b"Date" not in one
    assert b"matplotlib.org" not in one or ending == "svg"


def test_a_plot_has_its_size_margins_and_ground(tmp_path):
    draw(tmp_path / "plot.png", title="", subtitle="", theme=THEMES["dark"])
    with Image.open(tmp_path / "plot.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[:2] == (int((1 + 2 * MARGIN) * DPI), int((5 + 2 * MARGIN) * DPI))
    assert set(map(tuple, pixels.reshape(-1, 3).tolist())) == {(0x0F, 0x11, 0x14), (0, 0, 0)}
    rows, columns = np.nonzero((pixels == 0).all(axis=2))
    expected = [(MARGIN + 0.25) * DPI, (MARGIN + 0.75) * DPI, (MARGIN + 1) * DPI, (MARGIN + 3) * DPI]
    assert [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1] == pytest.approx(expected, abs=1)


def test_a_long_title_is_cut_and_a_long_subtitle_is_wrapped(tmp_path):
    draw(tmp_path / "short.png")
    draw(tmp_path / "long.png", title="title " * 100, subtitle="what it is " * 20)
    sizes = []
    for name in ("short", "long"):
        with Image.open(tmp_path / f"{name}.png") as image:
            sizes.append(image.size)
            ground = np.asarray(image.convert("RGB"))[:, -int(0.9 * MARGIN * DPI) :]
            assert (ground == ground[0, 0]).all()
    assert sizes[0][0] == sizes[1][0]
    assert sizes[1][1] > sizes[0][1]


def test_what_is_neither_png_nor_svg_is_refused(tmp_path):
    for name in ("a.pdf", "a.jpg"):
        with pytest.raises(UsageError) as error:
            draw(tmp_path / name)
        assert str(error.value) == f"{tmp_path / name}: expected a name that ends in .png or .svg"
    for name in ("a.PNG", "a"):
        draw(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_png_of_too_many_pixels_is_refused_before_it_is_drawn(tmp_path):
    with pytest.raises(UsageError) as error:
        draw(tmp_path / "a.png", "", "", size=(5.0, 455.0))
    assert str(error.value) == (
        f"{tmp_path / 'a.png'} would have 801 x 65601 pixels, and a PNG has fewer than 65,536 a side: draw less, or an "
        ".svg"
    )
    draw(tmp_path / "a.svg", "", "", size=(5.0, 455.0))
    assert [path.name for path in tmp_path.iterdir()] == ["a.svg"]


def test_a_drawing_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), figure.figure(tmp_path / "a.png"):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


def test_numbers_are_written_beside_a_plot(tmp_path):
    plot = tmp_path / "a.svg"
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert figure.write_data(plot, array) == tmp_path / "a.npy"
    assert np.array_equal(np.load(tmp_path / "a.npy"), array)
    assert figure.write_data(plot, [{"class": 'a "b", c', "n": 1}, {"class": "d", "n": 2}]) == tmp_path / "a.csv"
    rows = csv.reader((tmp_path / "a.csv").read_text().splitlines())
    assert list(rows) == [
        ["class", "n"],
        ['a "b", c', "1"],
        ["d", "2"],
    ]
    figure.write_data(plot, "x\n")
    assert (tmp_path / "a.csv").read_text() == "x\n"
    with pytest.raises(OutputError):
        figure.write_data(tmp_path / "none" / "a.png", array)


def test_texts_are_cut_and_wrapped_to_inches():
    text = "a class with a long name"
    assert fitted(text, 10, 8) == text
    cut = fitted(text, 1, 8)
    assert cut.endswith("…")
    assert text.startswith(cut[:-1])
    assert 0.8 < width_of(cut, 8) <= 1
    assert width_of(text, 8, bold=True) > width_of(text, 8)
    lines = wrapped(text, 1, 8)
    assert " ".join(lines) == text
    assert all(width_of(line, 8) <= 1 for line in lines)
    assert wrapped("", 1, 8) == []


def test_labels_are_english_and_on_one_line():
    assert label("n01440764") == "tench"
    assert label("two\nlines\t\udce9") == "two lines ?"


def test_letters_that_the_font_lacks_are_no_warning(tmp_path):
    assert width_of("猫", 8) > 0
    draw(tmp_path / "a.png", title="猫", subtitle="猫 $x_$ \udce9".encode("utf-8", "replace").decode())


@pytest.mark.parametrize(
    ("number", "text"),
    [(6.3, "6.30"), (20, "20.0"), (211.4, "211"), (1234.5, "1,234"), (-0.0715, "−0.0715"), (0, "0"), (2e7, "2.00e+07")],
)
def test_numbers_have_three_digits(number, text):
    assert short(number) == text


def test_an_image_without_a_class_is_called_by_its_file():
    names = ("photos/n02802426_basketball.JPEG", "a/IMG_2931.jpg", "n02802426_.jpg", ".jpg", "cat")
    assert [file_title(name) for name in names] == ["basketball", "IMG_2931", "n02802426_", ".jpg", "cat"]
    wide = width_of("German_short", 10)
    assert wrapped("German_short-haired pointer", wide, 10) == ["German_", "short-haired", "pointer"]
    assert wrapped("German_short-haired", wide * 0.8, 10) == ["German_", "short-", "haired"]
