"""Plot of a step's timeline: a lane for each stream of each device."""

from pathlib import Path

from cualex.plots.figure import figure
from cualex.plots.theme import LIGHT, MARGIN
from cualex.profiling.overlap import COMPUTE, HOST
from cualex.profiling.table import Profile
from cualex.profiling.trace import Bar, lanes

COLOURS = {
    "forward": LIGHT.tower1,
    "backward": LIGHT.tower2,
    "link": LIGHT.positive,
    "copy from the host": LIGHT.faint,
}
WIDTH = 12.0 - 2 * MARGIN  # inches
LETTER, UPRIGHT, TALL = 0.0068, 0.012, 6  # a letter, and a turned name, of the width of the plot; its letters at most


def draw(profile: Profile, path: str | Path) -> None:
    """Draw what each stream does when, in milliseconds; forward and backward passes and copies have their colours."""
    made, conditions = lanes(profile), profile.conditions
    end = max(bar.began + bar.seconds for lane in made for bar in lane.bars)
    network, mode = conditions["network"]["name"], {"train": "training", "infer": "inference"}[conditions["mode"]]
    title = f"One step of {mode}: {network}, batch size {conditions['batch_size']}"
    with figure(path, (WIDTH, 1.0 + 0.62 * len(made)), title) as drawn:
        axes = drawn.subplots()
        for height, lane in zip(range(len(made), 0, -1), made, strict=True):
            for bar in lane.bars:
                colour = COLOURS[_kind(bar, lane.stream)]
                left, width = 1000 * bar.began, 1000 * bar.seconds
                axes.barh(height, width, left=left, height=0.7, color=colour, edgecolor="white", linewidth=0.4)
                name, turned = _label(bar, bar.seconds / end)
                style = {"ha": "center", "va": "center", "fontsize": 7, "color": "white", "rotation": turned}
                axes.text(left + width / 2, height, name, **style)
        for kind, colour in COLOURS.items():
            if any(_kind(bar, lane.stream) == kind for lane in made for bar in lane.bars):
                axes.barh(0, 0, color=colour, label=kind)
        axes.set_yticks(range(len(made), 0, -1), [lane.name for lane in made])
        axes.set(xlabel="milliseconds", xlim=(0, 1000 * end), ylim=(0.4, len(made) + 0.6))
        axes.legend(ncols=4, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)


def _label(bar: Bar, share: float) -> tuple[str, int]:
    """Return the name of a bar with that share of the width, and by how many degrees it is turned."""
    name = bar.row.name.removeprefix("link ") if bar.row else bar.name
    gives = "".join(f" {each}" for each in bar.row.gives) if bar.row and len(bar.row.gives) == 1 else ""
    short = name.partition("+")[0]  # of fused layers the first
    for text in (name + gives, short + gives, short):
        if share > LETTER * (len(text) + 1):
            return text, 0
    return (short, 90) if share > UPRIGHT and len(short) <= TALL else ("", 0)


def _kind(bar: Bar, stream: str) -> str:
    if stream == HOST:
        return "copy from the host"
    return bar.row.direction if stream == COMPUTE and bar.row else "link"
