"""Runs as `cualex runs` sees them: each state, damaged ones, and what pruning removes and what never."""

import json
import os
import pathlib
import shutil

import pytest

from cualex.errors import RunLocked, UsageError
from cualex.plots import curves, samples
from cualex.system import locks
from cualex.training.run import Run, overview, pruning
from tests import ROOT
from tests.support.tiny_runs import Squares, stop, training

RESULTS = """epoch,time,train/loss,val/loss,metrics/accuracy_top1,metrics/accuracy_top5,lr,img/s
1,10,1.5,1.25,0.5,1,0.01,90
2,20,1,1.5,0.75,1,0.01,90
3,30,0.5,2,0.75,1,0.001,90
"""
BEST = {"epoch": 2, "top1": 0.75, "top5": 1.0}


def make(root, name, *files, age=0.0, **settings):
    """Make a run with files of known sizes: last and previous 100 bytes each, best 1000; `age` in days."""
    path = root / name
    path.mkdir(parents=True)
    recipe = {"network": "cifar-relu", "epochs": 5, "seed": settings.pop("seed", 0)}
    described = {"data": "photos", "recipe": recipe, "pictures": {"digest": "1"}} | settings
    (path / "args.json").write_text(json.dumps(described))
    (path / "run.lock").touch()
    (path / "log.jsonl").touch()
    for file in files:
        if file == "results":
            (path / "results.csv").write_text(RESULTS)
        elif file == "finished":
            (path / "finished.json").write_text(json.dumps({"best_epoch": 2, "top1": 0.75, "top5": 1.0, "epochs": 3}))
        else:
            (path / f"{file}.safetensors").write_bytes(bytes(1000 if file == "best" else 100))
    for file in ("log.jsonl", "args.json"):
        changed = path.stat().st_mtime - 86_400 * age
        os.utime(path / file, (changed, changed))
    return path


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    """Let a lock that is held not be waited for."""
    monkeypatch.setattr(locks, "PATIENCE", 0.0)


@pytest.fixture
def trained(tmp_path):
    """Make a run of each state, and others that pruning treats in ways of their own."""
    root = tmp_path / "runs"
    make(root, "finished", "results", "finished", "best", "last", "previous", age=40)
    make(root, "bare", "results", "finished", "best", age=1)
    make(root, "stopped", "results", "best", "last", age=50)
    make(root, "early", "last", age=60)
    make(root, "failed", age=2)
    (root / "damaged").mkdir()
    (root / "damaged" / "args.json").write_text("{")
    (root / "damaged" / "run.lock").touch()
    for name, text in {"another": '{"lr": 0.1}', "list": "[3]", "broken": "{", "flat": '{"recipe": "fast"}'}.items():
        (root / name).mkdir()  # of other programs
        (root / name / "args.json").write_text(text)
        (root / name / "log.jsonl").touch()
    (root / "notes").mkdir()
    (root / "notes" / "best.safetensors").touch()
    (root / "a file").touch()
    return root


def states(root):
    return {each.path.name: each.state for each in overview.runs(root)}


def test_every_state_has_its_name(trained):
    found = overview.runs(trained)
    expected = {"finished": "finished", "bare": "finished", "stopped": "stopped", "early": "stopped"}
    assert states(trained) == expected | {"failed": "failed", "damaged": "failed"}
    assert [each.path.name for each in found] == ["damaged", "bare", "failed", "finished", "stopped", "early"]
    whole = next(each for each in found if each.path.name == "finished")
    assert (whole.data, whole.network, whole.epochs, whole.planned) == ("photos", "cifar-relu", 3, 5)
    assert (whole.best, whole.checkpoints, whole.has_best, whole.problem) == (BEST, 200, True, "")
    assert whole.bytes == sum(file.stat().st_size for file in whole.path.iterdir()) > 1200
    stopped = next(each for each in found if each.path.name == "stopped")
    assert stopped.best == BEST  # of the epochs until now, the first of equals
    assert "cannot be read" in found[0].problem


def test_no_directory_and_no_runs_are_no_error(tmp_path):
    assert overview.runs(tmp_path / "none") == overview.runs(tmp_path) == []
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file: a file, expected a directory of runs$"):
        overview.runs(tmp_path / "file")


def test_a_run_that_trains_is_running_and_stays_so(trained):
    run = Run(trained / "early")
    run.lock()
    assert states(trained)["early"] == "running"
    with pytest.raises(RunLocked, match=f"process {os.getpid()} on"):  # the look has not touched the lock
        Run(trained / "early").lock()
    run.unlock()
    assert states(trained)["early"] == "stopped"
    assert not locks.is_held(trained / "none")


@pytest.mark.parametrize("name", ["args.json", "finished.json", "results.csv"])
@pytest.mark.parametrize(
    "text", ["", "[]", "3", "null", '{"recipe": 3}', "{", "\0\udcff", "epoch,time\n1", "a,b\n1,2\n"]
)
def test_what_is_damaged_is_listed_all_the_same(trained, name, text):
    path = trained / "finished" / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    found = next(each for each in overview.runs(trained) if each.path == path.parent)
    assert found.state in ("finished", "stopped", "failed")
    json.dumps(found.document())
    if text == "{" and name.endswith(".json"):
        assert found.problem
    pruning.choose(trained)


def test_runs_of_version_01_are_listed():
    found = [each for kind in ("whole", "stopped") for each in overview.runs(ROOT / "tests/golden/v0.1" / kind)]
    assert len(found) == 4
    for each in found:
        assert each.described
        assert each.problem == ""
        assert each.network


def test_settings_that_differ(tmp_path):
    one, two = make(tmp_path, "one", seed=1), make(tmp_path, "two", seed=2, device="cpu", pictures={"digest": "2"})
    compared = [overview.read(path) for path in (one, two, one)]
    assert overview.different(compared) == {"seed": [1, 2, 1], "device": [None, "cpu", None]}
    assert overview.different(compared[::2]) == {}
    assert (overview.same_images(compared), overview.same_images(compared[::2])) == (False, True)


def test_a_run_is_named_by_its_path_or_in_the_directory(trained, monkeypatch):
    assert overview.find("bare", trained) == overview.find(trained / "bare") == trained / "bare"
    with pytest.raises(
        UsageError, match=r"^none: no such run\. .*/runs has damaged, bare, failed, finished, stopped, "
    ):
        overview.find("none", trained)
    with pytest.raises(UsageError, match=r"notes: not a run\. "):
        overview.find(trained / "notes", trained)
    with pytest.raises(UsageError, match=r"none: no such run\. `cualex runs DIR` lists those of a directory\.$"):
        overview.find("none", trained / "notes")


def test_a_directory_of_that_name_that_is_no_run_hides_none(trained, monkeypatch):
    monkeypatch.chdir(trained.parent)
    (trained.parent / "bare").mkdir()
    assert overview.find("bare", "runs") == pathlib.Path("runs/bare")
    with pytest.raises(UsageError, match=r"^\./bare: not a run\. runs has "):
        overview.find("./bare", "runs")
    make(trained.parent, "early")
    assert overview.find("early", "runs") == pathlib.Path("early")
    with pytest.raises(UsageError, match=r"^early: two runs, \./early and runs/early\. Name one by its path\.$"):
        pruning.choose("runs", ["early"])
    assert [each.run.path for each in pruning.choose("runs", ["./early", "runs/early"])] == [
        pathlib.Path("early"),
        pathlib.Path("runs/early"),
    ]
    assert chosen(".", ["early"]) == {"early": "run"}


# --- pruning


def chosen(*arguments, **options):
    return {
        each.run.path.name: "run" if each.whole else "checkpoints" for each in pruning.choose(*arguments, **options)
    }


def test_what_is_chosen(trained):
    assert chosen(trained) == {"finished": "checkpoints"}
    assert chosen(trained, without_result=True) == {"early": "run", "failed": "run"}
    assert chosen(trained, older=30) == {"finished": "checkpoints", "stopped": "checkpoints", "early": "run"}
    assert chosen(trained, older=30, without_result=True) == {
        "early": "run",
        "finished": "checkpoints",
        "stopped": "checkpoints",
    }
    assert chosen(trained, ["bare", trained / "bare", "stopped"]) == {"bare": "run", "stopped": "run"}


def tree(place):
    return sorted(str(file.relative_to(place)) for file in place.rglob("*"))


def test_checkpoints_go_and_the_rest_stays(trained):
    before = tree(trained)
    (removed,) = pruning.remove(pruning.choose(trained))
    assert removed.bytes == 200
    gone = {"finished/last.safetensors", "finished/previous.safetensors"}
    assert set(before) - set(tree(trained)) == gone
    assert set(tree(trained)) <= set(before)
    assert pruning.choose(trained) == []


def test_a_named_run_goes_whole_and_what_cualex_has_not_written_stays(trained):
    """Neither foreign files, in its samples too, nor what links lead to; not even links named like its files."""
    path, outside = trained / "bare", trained.parent / "photos"
    for place in (outside, path / "samples", path / "data"):
        place.mkdir()
    (path / "classes.txt").write_text("cat\n../cat\n")
    for name in ("cat.png", ".cat.png.12.part", "dog.png", "cat.jpg"):
        (path / "samples" / name).touch()
    for name in ("events.out.tfevents.1.host.2", ".log.jsonl.12.part", ".thesis.txt.12.part", "thesis.txt"):
        (path / name).touch()
    (path / "data" / "last.safetensors").touch()
    (outside / "cat.png").touch()
    (path / "photos").symlink_to(outside)
    (path / "last.safetensors").symlink_to(outside / "cat.png")
    others = [name for name in tree(trained) if not name.startswith("bare/")]
    (removed,) = pruning.remove(pruning.choose(trained, ["bare"]))
    mine = {name: [] for name in (".thesis.txt.12.part", "last.safetensors", "photos", "thesis.txt")}
    mine |= {"data": ["data/last.safetensors"], "samples": ["samples/cat.jpg", "samples/dog.png"]}
    assert [each.name for each in removed.left] == sorted(mine)
    assert tree(path) == sorted([*mine, *mine["data"], *mine["samples"]])
    assert [name for name in tree(trained) if not name.startswith("bare/")] == others
    assert tree(outside) == ["cat.png"]


def test_samples_that_are_a_link_stay(trained):
    outside = trained.parent / "photos"
    outside.mkdir()
    (outside / "cat.png").touch()
    (trained / "bare" / "classes.txt").write_text("cat\n")
    (trained / "bare" / "samples").symlink_to(outside)
    (removed,) = pruning.remove(pruning.choose(trained, ["bare"]))
    assert removed.left == (trained / "bare" / "samples",)
    assert tree(outside) == ["cat.png"]


@pytest.mark.slow
@pytest.mark.usefixtures("speck")
@pytest.mark.parametrize("stopped", [False, True])
def test_all_that_a_training_writes_goes(tmp_path, monkeypatch, stopped):
    run = Run.create(tmp_path)
    records = training(run, save_every=0.0)
    if stopped:
        stop(records, 10)
    else:
        list(records)
        curves.draw(run)
        samples.write(Squares(12), run.path / "samples")
    (run.path / "report.html").touch()
    run.unlock()
    monkeypatch.chdir(run.path)
    chosen = pruning.choose(tmp_path, ["."])
    (removed,) = pruning.remove(chosen)
    assert (removed.left, removed.kept, removed.bytes) == ((), "", chosen[0].bytes)
    assert removed.bytes > 10_000
    assert tree(tmp_path) == []


OTHERS = {  # what the args.json of other programs may hold
    "numbers": {"lr": 1},
    "a list": [1],
    "a text": {"recipe": "of a cake"},
    "no network": {"recipe": {"epochs": 3}},
    "another network": {"recipe": {"network": {"depth": 3}}},
}


@pytest.mark.parametrize("name", [*OTHERS, "damaged", "log.jsonl", "run.lock"])
def test_a_directory_of_another_program_is_not_pruned(tmp_path, name):
    place = tmp_path / "other-project"
    (place / "data").mkdir(parents=True)
    (place / "data" / "thesis.txt").touch()
    (place / "last.safetensors").write_bytes(b"1")
    if name in OTHERS:
        (place / "args.json").write_text(json.dumps(OTHERS[name]))
    else:
        (place / ("args.json" if name == "damaged" else name)).write_text("{")
    for options in ({}, {"older": 0.0}, {"without_result": True}):
        assert pruning.choose(tmp_path, **options) == []
    with pytest.raises(UsageError, match=r"other-project: expected an args\.json of cualex, which names a network\. "):
        pruning.choose(tmp_path, ["other-project"])


@pytest.mark.parametrize("mark", ["finished", "damaged", "measured"])
def test_results_without_weights_stay(tmp_path, mark):
    """As an experiment leaves its trials: finished, diverged, or ended when the measure was reached."""
    path = make(tmp_path, "trial", "results", "finished" if mark == "finished" else "last", age=50)
    if mark != "finished":
        (path / f"{'finished' if mark == 'damaged' else mark}.json").write_text("{")
    assert chosen(tmp_path, without_result=True) == {}
    assert chosen(tmp_path, older=30) == ({} if mark == "finished" else {"trial": "checkpoints"})
    assert chosen(tmp_path, ["trial"]) == {"trial": "run"}


@pytest.mark.parametrize("name", ["early", "stopped"])
def test_a_run_that_changed_since_the_choice_is_kept(trained, name):
    """It went on while the user was asked, and finished."""
    early = [pruning.choose(trained, older=30.0), pruning.choose(trained, [name])]
    early = [[each for each in removals if each.run.path.name == name] for removals in early]
    (trained / name / "best.safetensors").write_bytes(bytes(2000))
    (trained / name / "finished.json").write_text(json.dumps({"best_epoch": 2, "top1": 0.75, "top5": 1.0}))
    before = tree(trained)
    for removals in early:
        (skipped,) = pruning.remove(removals)
        assert skipped.kept == "it has changed since it was listed, and is finished now"
    assert tree(trained) == before
    assert not locks.is_held(trained / name / "run.lock")


def test_a_new_epoch_is_a_change_and_a_run_that_is_gone_is_none_to_lock(trained):
    removals = pruning.choose(trained, ["early", "failed"])
    os.utime(trained / "early" / "log.jsonl")
    shutil.rmtree(trained / "failed")
    assert [each.kept for each in pruning.remove(removals)] == [
        "it has changed since it was listed, and is stopped now",
        "it is gone",
    ]
    assert (trained / "early" / "last.safetensors").exists()
    assert not (trained / "failed").exists()


@pytest.mark.parametrize("whole", [False, True])
def test_what_cannot_be_removed_is_said_and_the_others_go(trained, monkeypatch, whole):
    """Counted is what is gone."""
    make(trained, "other", "finished", "best", "last", age=50)
    removals = pruning.choose(trained, ["finished", "other"] if whole else ())
    unlink = type(trained).unlink

    def refuse(path, missing_ok=False):
        if path == trained / "finished" / "last.safetensors":
            raise PermissionError(1, "Operation not permitted", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(type(trained), "unlink", refuse)
    removed = {each.removal.run.path.name: each for each in pruning.remove(removals)}
    assert removed["finished"].kept.endswith("last.safetensors: cannot be removed (Operation not permitted)")
    assert [(removed[name].bytes, removed[name].failed) for name in ("finished", "other")] == [
        (100, True),
        (removals[-1].bytes if whole else 100, False),
    ]
    assert (trained / "finished" / "args.json").exists()
    assert not (trained / "other" / "last.safetensors").exists()


@pytest.mark.parametrize(
    "options", [{}, {"older": 0.0}, {"without_result": True}, {"older": 30.0, "without_result": True}]
)
def test_best_weights_go_only_with_a_run_that_is_named(trained, options):
    pruning.remove(pruning.choose(trained, **options))
    assert len(list(trained.rglob("best.safetensors"))) == 4


@pytest.mark.parametrize("name", ["finished", "early", "failed"])
def test_a_run_that_trains_is_never_touched(trained, name):
    """Neither one that trains already, nor one that is resumed between the choice and the removal."""
    run = Run(trained / name)
    early = [pruning.choose(trained, **options) for options in ({}, {"older": 1.0}, {"without_result": True})]
    early.append(pruning.choose(trained, [name]))
    run.lock()
    for options in ({}, {"older": 1.0}, {"without_result": True}):
        assert name not in chosen(trained, **options)
    with pytest.raises(RunLocked, match="a process is training in it"):
        pruning.choose(trained, [name])
    before = tree(trained / name)
    for removals in early:
        removed = pruning.remove([each for each in removals if each.run.path.name == name])
        assert {(each.kept, each.bytes) for each in removed} <= {("a process trains in it", 0)}
    assert tree(trained / name) == before


def test_a_link_to_a_run_is_not_followed(trained, tmp_path):
    shutil.move(trained / "finished", tmp_path / "elsewhere")
    (trained / "finished").symlink_to(tmp_path / "elsewhere")
    assert states(trained)["finished"] == "finished"
    assert "finished" not in chosen(trained) | chosen(trained, older=1.0)
    with pytest.raises(UsageError, match=r"finished: a link\. Name the run itself, .*/elsewhere\.$"):
        pruning.choose(trained, ["finished"])
