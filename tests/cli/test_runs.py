"""`cualex runs`: list, comparisons and their plot, prune, which shows and asks; and runs where weights are taken."""

import json

import pytest
from PIL import Image

from cualex.cli import _output
from cualex.training.run import Run
from tests.support import colour_network, json_keys
from tests.support.colour_network import picture, run

RESULTS = """epoch,time,train/loss,val/loss,metrics/accuracy_top1,metrics/accuracy_top5,lr,img/s
1,100,1.5,1.25,0.5,1,0.01,90
2,200,0.5,1.5,{top1},1,0.01,90
"""


def finished(root, name, top1=0.75, **settings):
    path = colour_network.finished(root, name).parent
    described = {"data": "photos", "recipe": {"network": "cifar-relu", "epochs": 2, "seed": 0} | settings}
    (path / "args.json").write_text(json.dumps(described))
    (path / "results.csv").write_text(RESULTS.format(top1=top1))
    (path / "finished.json").write_text(json.dumps({"best_epoch": 2, "top1": top1, "top5": 1.0}))
    (path / "last.safetensors").write_bytes(bytes(5000))
    return path


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Work where there are two finished runs."""
    monkeypatch.chdir(tmp_path)
    finished(tmp_path / "runs", "train")
    finished(tmp_path / "runs", "train-2", 0.875, rate=0.5, variant={"norm": "none"}, freeze=["conv1", "conv2"])
    return tmp_path


@pytest.mark.parametrize("words", [[], ["runs"], ["list"], ["list", "runs"]])
def test_runs_are_listed(place, words):
    result = run("runs", *words)
    assert (result.exit_code, result.stderr) == (0, "")
    head, _, *rows = (line.split() for line in result.stdout.splitlines())
    assert head == ["run", "changed", "state", "data", "network", "epochs", "top-1", "size"]
    shown = {row[0]: row[3:8] for row in rows}
    assert shown == {
        "train": ["finished", "photos", "cifar-relu", "2/2", "75.0%"],
        "train-2": ["finished", "photos", "cifar-relu", "2/2", "87.5%"],
    }
    told = json.loads(run("runs", *words, "--json").stdout)
    assert {each["name"]: each["best"]["top1"] for each in told} == {"train": 0.75, "train-2": 0.875}
    assert {each["run"] for each in told} == {"runs/train", "runs/train-2"}


def test_no_runs_running_and_damaged_ones(place):
    assert run("runs", "none").stdout == "No runs in none. `cualex train` starts one.\n"
    assert json.loads(run("runs", "none", "--json").stdout) == []
    held = Run(place / "runs" / "train")
    held.lock()
    (place / "runs" / "train-2" / "args.json").write_text("{")
    result = run("runs")
    assert result.exit_code == 0
    assert "running" in result.stdout
    assert result.stderr.startswith("Note: runs/train-2: runs/train-2/args.json: cannot be read (")
    held.unlock()


def test_runs_are_compared(place):
    result = run("runs", "compare", "train", "runs/train-2", "-o", "curves.png")
    assert (result.exit_code, result.stderr) == (0, "Plot: curves.png\n")
    assert json_keys.faults(["runs", "list"], json.loads(run("runs", "--json").stdout)) == []
    rows = {line[:23].strip(): line[23:].split() for line in result.stdout.splitlines()}
    assert rows[""] == ["runs/train", "runs/train-2"]
    assert (rows["rate"], rows["variant"], rows["freeze"]) == (["-", "0.5"], ["-", "norm=none"], ["-", "conv1,conv2"])
    assert "seed" not in rows
    assert (rows["best validation top-1"], rows["best epoch"]) == (["75.0%", "87.5%"], ["2", "2"])
    assert (rows["lowest validation loss"], rows["last training loss"]) == (["1.25", "1.25"], ["0.5", "0.5"])
    told = json.loads(run("runs", "compare", "train", "train-2", "--json").stdout)
    assert json_keys.faults(["runs", "compare"], told) == []
    assert told["settings"] == {
        "rate": [None, 0.5],
        "variant": [None, {"norm": "none"}],
        "freeze": [None, ["conv1", "conv2"]],
    }
    assert [each["results"][-1]["metrics/accuracy_top1"] for each in told["runs"]] == [0.75, 0.875]


def test_the_curves_of_runs_are_drawn_by_name(place, monkeypatch):
    from cualex.plots import curves

    drawn, real = [], curves.draw_runs
    monkeypatch.setattr(curves, "draw_runs", lambda *given: drawn.append(real(*given)))
    finished(place / "runs", "$x_$")
    assert run("runs", "compare", "train", "train-2", "$x_$", "-o", "curves.png").exit_code == 0
    assert [(row["run"], row["top1_error"]) for row in drawn[0]] == [
        *[("train", 0.5), ("train", 0.25), ("train-2", 0.5), ("train-2", 0.125), ("$x_$", 0.5), ("$x_$", 0.25)]
    ]
    with Image.open("curves.png") as image:
        assert image.size[0] > 1000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compare", "train"], "compare takes two or more different runs. `cualex runs` lists them."),
        (["compare", "train", "runs/train"], "compare takes two or more different runs. `cualex runs` lists them."),
        (["compare", "train", "none"], "none: no such run. runs has "),
        (["prune", "train", "--older", "3"], "--older chooses among all runs: name none."),
        (["prune", "none"], "none: no such run. runs has "),
    ],
)
def test_wrong_words_are_one_line(place, words, said):
    result = run("runs", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {said}")


def test_prune_shows_asks_and_removes(place):
    shown = "(finished): its checkpoints, 5.0 kB\n"
    refused = run("runs", "prune")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.count(shown) == 2
    assert refused.stderr.endswith(
        "Error: Remove these 10 kB? There is no terminal to ask at: add --yes to continue.\n"
    )
    assert (place / "runs/train/last.safetensors").exists()
    result = run("runs", "prune", "--yes")
    assert (result.exit_code, result.stdout) == (0, "Removed: 10 kB.\n")
    assert result.stderr == refused.stderr.rpartition("Error: ")[0]
    assert sorted(file.parent.name for file in place.rglob("best.safetensors")) == ["train", "train-2"]
    assert not list(place.rglob("last.safetensors"))
    assert run("runs", "prune").stdout == "Nothing to remove in runs.\n"


def test_prune_removes_named_runs_whole_and_prints_json(place):
    size = sum(file.stat().st_size for file in (place / "runs/train").iterdir())
    result = run("runs", "prune", "train", "--yes", "--json")
    assert json.loads(result.stdout) == {
        "schema_version": 1,
        "removed": [{"run": "runs/train", "removed": "run", "bytes": size, "left": []}],
        "bytes": size,
        "kept": [],
    }
    assert "the whole run with best.safetensors" in result.stderr
    assert [path.name for path in (place / "runs").iterdir()] == ["train-2"]
    nothing = json.loads(run("runs", "prune", "--older", 99, "--json").stdout)
    assert nothing == {"schema_version": 1, "removed": [], "bytes": 0, "kept": []}


def test_prune_refuses_a_run_that_trains(place):
    held = Run(place / "runs/train")
    held.lock()
    result = run("runs", "prune", "train", "--yes")
    assert (result.exit_code, result.stdout) == (6, "")
    assert (place / "runs/train/best.safetensors").exists()
    held.unlock()


def test_prune_goes_on_after_a_failure_and_says_what_stays(place, monkeypatch):
    for name in ("thesis.txt", *"abcde"):
        (place / "runs/train-2" / name).touch()
    unlink = type(place).unlink

    def refuse(path, missing_ok=False):
        if path.parent.name == "train" and path.name == "best.safetensors":
            raise PermissionError(1, "Operation not permitted", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(type(place), "unlink", refuse)
    result = run("runs", "prune", "train", "train-2", "--yes", "--json")
    assert result.exit_code == 1
    failure = "runs/train/best.safetensors: cannot be removed (Operation not permitted)"
    assert result.stderr.splitlines()[-2:] == [
        "Left in runs/train-2, not written by cualex: a, b, c, d, e, thesis.txt.",
        f"Error: {failure}. Change the permissions, and prune again.",
    ]
    told = json.loads(result.stdout)
    assert json_keys.faults(["runs", "prune"], told) == []
    assert told["kept"] == [{"run": "runs/train", "reason": failure}]
    assert [each["run"] for each in told["removed"]] == ["runs/train", "runs/train-2"]
    assert told["removed"][0]["bytes"] == 5000
    assert told["removed"][1]["left"] == [f"runs/train-2/{name}" for name in (*"abcde", "thesis.txt")]
    assert (place / "runs/train/args.json").exists()


def test_prune_looks_again_after_it_has_asked(place, monkeypatch):
    (place / "runs/train/finished.json").unlink()

    def finishes(question, yes):
        (place / "runs/train/finished.json").write_text('{"best_epoch": 2, "top1": 0.5, "top5": 1}')

    monkeypatch.setattr(_output, "confirm", finishes)
    result = run("runs", "prune", "train")
    assert (result.exit_code, result.stdout) == (0, "Removed: 0 B.\n")
    said = "Skipped: runs/train, since it has changed since it was listed, and is finished now.\n"
    assert result.stderr.endswith(said)
    assert (place / "runs/train/best.safetensors").exists()


def test_runs_without_results_are_left_out_of_the_plot_by_name(place):
    (place / "runs/train-2/results.csv").unlink()
    result = run("runs", "compare", "train", "train-2", "-o", "curves.png")
    assert (result.exit_code, result.stderr) == (
        0,
        "Plot: curves.png, without runs/train-2, where no epoch has ended\n",
    )
    (place / "curves.png").unlink()
    (place / "runs/train/results.csv").unlink()
    result = run("runs", "compare", "train", "train-2", "-o", "curves.png")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "Error: curves.png: nothing to plot, since no epoch has ended in any of these runs. Leave -o out.\n"
    )
    assert not (place / "curves.png").exists()
    assert run("runs", "compare", "train", "train-2").exit_code == 0


TAKING = {  # every command that takes a weights file
    "predict": ["predict", "red.png", "-w"],
    "features": ["features", "red.png", "-o", "out.npy", "-w"],
    "evaluate": ["evaluate", "set", "--no-pack", "-w"],
    "export": ["export", "--to", "torch", "-o", "out.safetensors", "-w"],
    "check": ["check", "set", "--weights"],
    "profile": ["profile", "--repeat", 1, "-b", 1, "--mode", "infer"],
    "summary": ["summary"],
    "train": ["train", "set", "--epochs", 1, "-b", 2, "--no-pack", "--device", "cpu", "--from"],
}


SLOW = {"profile": pytest.mark.slow, "train": pytest.mark.slow}


@pytest.mark.parametrize("command", [pytest.param(each, marks=SLOW.get(each, ())) for each in TAKING])
def test_a_run_is_taken_wherever_a_weights_file_is(place, command):
    picture(place / "red.png", "red")
    for name in colour_network.CLASSES:
        for number in range(4):
            picture(place / "set" / name / f"{number}.png", name, 100 + 30 * number)
    assert run(*TAKING[command], "runs/train").exit_code == 0
    (place / "runs" / "begun").mkdir()
    (place / "runs" / "begun" / "args.json").write_text("{}")
    result = run(*TAKING[command], "runs/begun")
    assert result.exit_code == 1
    assert "runs/begun: a run without best weights yet" in result.stderr


def test_import_says_that_a_run_needs_none(place):
    assert "runs/train/best.safetensors: a weights file of cualex already." in run("import", "runs/train").stderr
    (place / "runs/train/best.safetensors").unlink()
    assert "Error: runs/train: a run without best weights yet" in run("import", "runs/train").stderr
