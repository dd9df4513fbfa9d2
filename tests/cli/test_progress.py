"""The time that is left, by a simulated clock; and lines that a terminal of 80 columns has room for."""

import io
import re
import sys

import numpy as np
import pytest
from PIL import Image

from cualex.cli import _output, _terminal, _training, main
from cualex.evaluation import Evaluation, accuracies
from cualex.training.records import Epoch, Update
from tests.cli.conftest import Clock

BATCH = 32


def found(classes=5, count=60):
    """Make a validation with so many images."""
    labels = np.arange(count, dtype=np.int32) % classes
    names, shares = tuple(map(str, labels)), np.ones(count, np.float32)
    return Evaluation(tuple(map(str, range(classes))), names, labels, 0 * labels, shares, count, 1.62)


class Job:
    """A training that takes its time: what it reports, while the clock goes on.

    first: seconds of the first update.  each: of the others, by number.  end: of validation and all else at an end.
    length: updates an epoch.  done: updates that an earlier start had done.
    """

    def __init__(self, clock, first=5.0, each=lambda _: 1.0, end=0.5, length=20, epochs=10, done=0, classes=5):
        self.clock, self.first, self.each, self.end = clock, first, each, end
        self.length, self.epochs, self.done, self.classes = length, epochs, done, classes

    def records(self):
        for update in range(self.done + 1, self.length * self.epochs + 1):
            seconds = self.first if update == self.done + 1 else self.each(update)
            self.clock.now += seconds
            epoch = -(-update // self.length)
            yield Update(update, self.length * self.epochs, epoch, self.epochs, 1.609, 0.22, 0.01, BATCH, seconds, 0.0)
            if update % self.length == 0:
                self.clock.now += self.end
                yield Epoch(epoch, self.epochs, 1.609, found(self.classes), True, 0.0001, 75.0)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (_output, _training):
        monkeypatch.setattr(module, "time", clock)
    return clock


def told(job, monkeypatch, validated=60, written=0):
    """Show a job; return for each update its number, the seconds left as said, and as they turned out."""
    said, call = [], _output.Progress.__call__

    def noted(self, done, *notes, pace):
        said.append((done // BATCH, job.clock.now, pace[1]))
        call(self, done, *notes, pace=pace)

    with monkeypatch.context() as patch:
        patch.setattr(_output.Progress, "__call__", noted)
        _training.show(job.records(), _training.Pace(validated, written))
    return [(update, left, job.clock.now - now) for update, now, left in said]


@pytest.mark.parametrize(
    ("how", "known"),
    [
        pytest.param({"first": 40.0}, {}, id="kernels are compiled in the first update"),
        pytest.param({"first": 0.01}, {}, id="the first costs nothing"),
        pytest.param({"length": 3, "epochs": 30, "end": 2.0}, {"written": 400_000_000}, id="short epochs"),
        pytest.param({"length": 1, "epochs": 40, "end": 4.0}, {}, id="an update an epoch"),
        pytest.param({"length": 4, "end": 1000 / 3 / BATCH}, {"validated": 1000}, id="much validation"),
        pytest.param(
            {"each": lambda update: 1 + 0.2 * (update * 7919 % 11 - 5) / 5 + 8 * (update % 60 == 0)},
            {},
            id="updates differ, and checkpoints come between",
        ),
        pytest.param({"each": lambda update: 2.0 if update % 2 else 1.0, "length": 2}, {}, id="two kinds of them"),
        pytest.param({"done": 90, "first": 40.0}, {}, id="a run that goes on"),
    ],
)
def test_the_time_left_is_right_within_half_from_the_third_update_on(clock, monkeypatch, how, known):
    job = Job(clock, **how)
    rows = told(job, monkeypatch, **known)
    assert [left for _, left, _ in rows[:2]] == [None, None]
    wrong = [row for row in rows[2:] if not row[2] / 1.5 <= row[1] <= 1.5 * row[2]]
    assert wrong == []


def test_counting_from_the_first_update_is_found(clock, monkeypatch):
    """Planted: with the first update timed like the others, as it was."""
    monkeypatch.setattr(_training.Pace, "LEAST", 1)
    add = _training.Pace.add

    def careless(self, record, now):
        self._before = self._before or (now, record.epoch)
        add(self, record, now)

    monkeypatch.setattr(_training.Pace, "add", careless)
    rows = told(Job(clock, first=40.0), monkeypatch)
    assert rows[0][1] > 1.5 * rows[0][2]


def test_validation_that_is_forgotten_is_found(clock, monkeypatch):
    rows = told(Job(clock, length=4, end=1000 / 3 / BATCH), monkeypatch, validated=0)
    assert rows[2][1] < rows[2][2] / 1.5


def test_a_training_that_ends_early_ends_its_bar(clock, capsys):
    records = list(Job(clock, length=4, epochs=2).records())
    records = [record for record in records if record.epoch == 1]
    ended = [Update(**(vars(record) | {"updates": 4})) if isinstance(record, Update) else record for record in records]
    _training.show([*records[:2], *ended[2:]], _training.Pace(60, 0))
    assert capsys.readouterr().err.splitlines()[-1].startswith("Training: 128/128 images, ")


def test_the_end_counts_the_first_update_too(clock, capsys):
    _training.show(Job(clock, first=40.0, length=4, epochs=1).records(), _training.Pace(60, 0))
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == "Training: 128/128 images, 32/s, in 44 s, epoch 1, loss 1.609, top-1 22%"


# --- lines


class Terminal(io.StringIO):
    def isatty(self):
        return True


def screen(monkeypatch, columns, job):
    """Show a job on a terminal; return the lines that were written, without the terminal's codes."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    draw = _output.Progress._draw
    monkeypatch.setattr(_output.Progress, "_draw", lambda self, bar: (draw(self, bar), bar.refresh()))
    _training.show(job.records(), _training.Pace(60, 0))
    return [line.rstrip() for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()))]


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
@pytest.mark.parametrize("classes", [5, 10])
def test_lines_fit_the_terminal(clock, monkeypatch, columns, classes):
    """Many images and hours left, which make them long."""
    job = Job(clock, each=lambda _: 40.0, length=400, epochs=90, done=35_980, classes=classes)
    lines = screen(monkeypatch, columns, job)
    assert max(map(len, lines)) <= columns
    bars = [line for line in lines if line.startswith("Training ")]
    assert bars
    shortest = _output.SHORTEST if columns >= 80 else 5
    assert all("━" * shortest in re.sub("[╸╺]", "━", line) for line in bars[1:])
    assert not any("…" in line for line in lines)
    assert any("left" in line for line in bars)
    ends = [line for line in lines if line.startswith("epoch ")]
    assert len(ends) == 1
    assert ends[0].startswith("epoch 90/90  ")
    assert f"validation loss 1.620, top-1 {100 / classes:.1f}%" in ends[0]
    assert ends[0].endswith("  best")


def test_narrow_terminals_leave_out_what_matters_least(clock, monkeypatch):
    record = Epoch(7, 90, 1.609, found(10), True, 0.0001, 75.0)
    lines = record.lines()
    assert [len(line) for line in lines] == [104, 91, 79, 65, 53]
    assert lines[0].endswith("top-1 10.0%, top-5 100.0%  rate 0.0001  1 min 15 s  best")
    assert lines[2].endswith("top-1 10.0%, top-5 100.0%  best")


def test_five_likeliest_are_shown_from_ten_classes_on():
    for classes, shown in ((2, False), (9, False), (10, True), (1000, True)):
        record = Epoch(1, 3, 1.0, found(classes), False, 0.01, 1.0)
        assert ("top-5" in record.lines()[0]) == shown
    assert accuracies(0.5, 1.0, 9) == ["top-1 50.0%"]


def test_waiting_for_data_is_said_where_it_is_much(clock, capsys):
    def records(share):
        for record in Job(clock, length=4, epochs=1).records():
            yield Update(**(vars(record) | {"waited": share})) if isinstance(record, Update) else record

    for share, said in ((0.001, False), (0.5, True)):
        _training.show(records(share), _training.Pace(60, 0))
        assert ("waiting for data" in capsys.readouterr().err) == said


def test_sentences_are_wrapped_at_words_on_a_terminal_alone(monkeypatch):
    command = "cualex train photos --from runs/a-very-long-name/best.safetensors"
    sentence = "Still improving, " + "and then " * 12 + "on. To continue from its weights:"
    text = f"{sentence} {command}"
    assert _terminal.wrapped(text, io.StringIO()) == text
    assert _terminal.wrapped(f"short: {command}", Terminal()) == f"short: {command}"
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    *lines, last = _terminal.wrapped(text, Terminal()).splitlines()
    assert max(map(len, lines)) <= 60
    assert " ".join(line.strip() for line in lines) == sentence
    assert last.strip() == command


@pytest.mark.usefixtures("speck")
@pytest.mark.parametrize("columns", [pytest.param(60, marks=pytest.mark.slow), 80])
@pytest.mark.parametrize(
    "words", [("--watch",), pytest.param(("--recipe", "cifar", "-v"), marks=pytest.mark.slow)], ids=" ".join
)
def test_all_lines_of_a_training_fit_the_terminal(tmp_path, monkeypatch, columns, words):
    monkeypatch.chdir(tmp_path)
    for name, value in {"TERM": "xterm", "COLUMNS": str(columns), "CUALEX_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    for number in range(12):
        folder = tmp_path / "photos" / f"class {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (20 * number, 90, 255 * (number % 2))).save(folder / f"{number}.png")
    screen = Terminal()
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, screen)
    given = ["train", "photos", "--network", "speck", "--crop", "11", "-b", "3", "--epochs", "2", *words]
    main(given, standalone_mode=False)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).replace(str(tmp_path), "")
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", text)]
    assert any(line.startswith("epoch 2/2 ") for line in lines)
    assert any(line.startswith("Best validation top-1") for line in lines)
    assert [line for line in lines if len(line) > columns] == []
    assert "-v: all" in text or "By option" in text or "-v" in words
    assert ("last epochs without noise" in text) == ("-v" in words)
