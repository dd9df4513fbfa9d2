"""The one style of all plots: sizes of type, and colours, light and dark.

Fonts are those that come with matplotlib. Sizes of figures are in inches, of type in points.
"""

from dataclasses import dataclass
from typing import Any

DPI = 144
TITLE, SUBTITLE, TEXT, SMALL = 17.0, 8.5, 9.0, 7.5
TINT = 0.07  # of a colour, for what is 0
MARGIN = 0.28  # around all that is drawn
NARROWEST = 5.0  # so that a title fits
LEADING = 1.5  # of lines of the subtitle
SERIF, SANS = "STIXGeneral", "DejaVu Sans"


@dataclass(frozen=True)
class Theme:
    """The colours of a plot, distinguishable with red-green colour blindness too.

    tower1, tower2: of the towers, and of nothing else beside them.  positive, negative: of signed numbers, and of right
    and wrong.  ink, soft, faint, rule: of text and lines, strong to weak, on `ground`.
    """

    ground: str
    ink: str
    soft: str
    faint: str
    rule: str
    tower1: str
    tower2: str
    positive: str
    negative: str

    @property
    def series(self) -> tuple[str, ...]:
        """Colours of several curves, to be taken in turn."""
        return self.tower1, self.tower2, self.negative, self.positive, self.ink

    def tower(self, index: int) -> str:
        """Return the colour of a tower, the first is 0; more than two take the colours of curves."""
        return self.series[index % len(self.series)]

    def mixed(self, colour: str, part: float) -> Any:
        """Return the ground with a part of a colour, 0 to 1, as (red, green, blue)."""
        from matplotlib.colors import to_rgb

        pairs = zip(to_rgb(self.ground), to_rgb(colour), strict=True)
        return tuple((1 - part) * ground + part * hue for ground, hue in pairs)

    def legible(self, behind: Any) -> str:
        """Return the colour of a text upon another colour (red, green, blue): ink or ground, whichever stands out more.

        By the contrast of relative luminances L, (L + 0.05) / (L' + 0.05), of the Web Content Accessibility Guidelines.
        """
        from matplotlib.colors import to_rgb

        def bright(colour: Any) -> float:
            linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in to_rgb(colour)]
            return sum(part * x for part, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True)) + 0.05

        own = bright(behind)
        return max((self.ink, self.ground), key=lambda each: max(bright(each) / own, own / bright(each)))

    def deep(self, colour: str) -> Any:
        """Return the colour map of numbers from 0, a tint that is told from the ground, over a colour to ink."""
        return _colours(self.mixed(colour, TINT), colour, self.ink)

    def flat(self, colour: str) -> Any:
        """Return the colour map of yes and no: a colour, and its tint."""
        return _colours(self.mixed(colour, TINT), colour)

    @property
    def signed(self) -> Any:
        """Colour map of numbers from negative over 0, the ground, to positive."""
        return _colours(self.negative, self.ground, self.positive)


def _colours(*stops: Any) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("cualex", stops)


THEMES = {
    "light": Theme(
        *("#fbfbf9", "#16191d", "#5a6068", "#8b9198", "#dfe0dc"), *("#1f6aa5", "#b3590f", "#1f7a3c", "#7a3fa6")
    ),
    "dark": Theme(
        *("#0f1114", "#ecebe6", "#a4a9af", "#757b82", "#2a2e33"), *("#74b7ee", "#f0a45a", "#6cc47e", "#c092e6")
    ),
}
LIGHT = THEMES["light"]


def settings(theme: Theme) -> Any:
    """Return matplotlib's settings for a theme."""
    colours = {
        theme.ground: "figure.facecolor savefig.facecolor axes.facecolor legend.facecolor",
        theme.ink: "text.color",
        theme.soft: "axes.labelcolor xtick.labelcolor ytick.labelcolor legend.labelcolor",
        theme.faint: "axes.edgecolor xtick.color ytick.color",
        theme.rule: "grid.color",
    }
    return {
        **{name: colour for colour, names in colours.items() for name in names.split()},
        "font.family": [SANS],
        "font.size": TEXT,
        "axes.labelsize": SUBTITLE,
        "xtick.labelsize": SUBTITLE,
        "ytick.labelsize": SUBTITLE,
        "legend.fontsize": SUBTITLE,
        "axes.titlelocation": "left",
        "axes.titlesize": TEXT,
        "axes.titleweight": "bold",
        "axes.titlepad": 7.0,
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.linewidth": 0.7,
        "lines.linewidth": 1.6,
        "lines.markersize": 4.0,
        "legend.framealpha": 0.85,
        "legend.edgecolor": "none",
        "svg.hashsalt": "cualex",
    }
