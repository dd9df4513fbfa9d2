"""The colours of plots: text can be read, and no two that mean different things look alike, to the colour-blind too.

Contrast is WCAG 2.2's, 4.5 to 1 for text of this size and 3 to 1 for lines; colour blindness that of Machado, Oliveira
and Fernandes (2009, table 1, severity 1); differences are CIE76's, in which 2.3 can just be noticed.
"""

from itertools import combinations, pairwise

import numpy as np
import pytest

from cualex.plots.theme import THEMES

SEEN = {
    "as it is": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
DIFFERENT = 10 * 2.3  # ten times what can just be noticed


def linear(colour):
    """Return a colour "#rrggbb" as linear red, green and blue, from 0 to 1."""
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """Return the ratio of luminances, the brighter to the darker."""
    bright = sorted((TO_XYZ[1] @ linear(colour) + 0.05 for colour in (one, other)), reverse=True)
    return bright[0] / bright[1]


def lab(colour, blindness):
    """Return a colour as it is seen, in CIELAB."""
    xyz = TO_XYZ @ np.clip(SEEN[blindness] @ linear(colour), 0, 1) / TO_XYZ.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_text_can_be_read_and_lines_be_seen(theme):
    for colour in ("ink", "soft", "tower1", "tower2", "positive", "negative"):
        assert contrast(getattr(theme, colour), theme.ground) >= 4.5, colour
    assert contrast(theme.faint, theme.ground) >= 3


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_a_text_in_a_cell_can_be_read_on_every_shade(theme):
    """The larger of both contrasts is at least the root of that between ink and ground, and more than 4.5."""
    for colour in (theme.positive, theme.negative):
        for part in np.linspace(0, 1, 21):
            behind = theme.flat(colour)(part)[:3]
            shade = "#" + "".join(f"{round(255 * each):02x}" for each in behind)
            other = theme.ink if theme.legible(behind) == theme.ground else theme.ground
            assert contrast(theme.legible(behind), shade) >= max(contrast(other, shade) - 0.05, 4)


@pytest.mark.parametrize("blindness", SEEN)
@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_the_towers_and_the_signs_and_curves_that_follow_one_another_differ(theme, blindness):
    pairs = [(theme.tower1, theme.tower2), (theme.positive, theme.negative), *pairwise(theme.series)]
    for one, other in pairs:
        assert np.linalg.norm(lab(one, blindness) - lab(other, blindness)) >= DIFFERENT, (one, other)


def test_red_and_green_of_one_lightness_would_not_pass():
    one, other = (lab(colour, "deuteranopia") for colour in ("#b04a3a", "#7d7a2a"))
    assert np.linalg.norm(one - other) < DIFFERENT


def test_curves_have_colours_of_their_own():
    for theme in THEMES.values():
        assert all(one != other for one, other in combinations(theme.series, 2))
        assert [theme.tower(index) for index in (0, 1, 5)] == [theme.tower1, theme.tower2, theme.tower1]


def test_colours_are_mixed_with_the_ground():
    theme = THEMES["dark"]
    assert theme.mixed("#ffffff", 0.0) == pytest.approx([value / 255 for value in (0x0F, 0x11, 0x14)])
    assert theme.mixed("#ffffff", 1.0) == (1, 1, 1)
    assert theme.signed(0.5)[:3] == pytest.approx(theme.mixed(theme.ground, 1), abs=0.02)
