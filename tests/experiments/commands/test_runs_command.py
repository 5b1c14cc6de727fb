import json
import os

from experiments.made_results import make_result
from neat_optax.experiments.commands.cli import main
from neat_optax.experiments.runs.writing import plain


def begin(folder, config, age):
    folder.mkdir(parents=True)
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    time = file.stat().st_mtime - age
    os.utime(file, (time, time))


def row(name, epoch, score):
    scores = [[score, score], [0.1, 0.2]]  # by rate and seed
    made = {"optimizer": name, "epoch": epoch, "validation_accuracy": scores}
    return json.dumps(made) + "\n"


def test_runs_are_listed_with_how_far_they_have_come(tmp_path, capsys):
    result = make_result()
    begin(tmp_path / "done", result["config"], age=30)
    (tmp_path / "done" / "result.json").write_text(json.dumps(plain(result)))
    part = tmp_path / "sweep" / "part"
    begin(part, {"dataset": "wine"}, age=20)
    rows = row("adam", 1, 0.25) + row("adam", 2, 0.75) + row("sgd", 1, 0.5)
    (part / "metrics.jsonl").write_text(f'{rows}{{"optimizer": "sg')
    begin(tmp_path / "search", {"task": "sum"}, age=10)
    begin(tmp_path / "odd", {}, age=0)
    (tmp_path / "odd" / "result.json").write_text("{")
    (tmp_path / "notes").mkdir()
    assert main(["runs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = ["run", "command", "subject", "started", "state", "epochs", "best", "score"]
    assert lines[0].split() == names
    found = [line.split() for line in lines[2:6]]
    assert [x[:3] + x[5:] for x in found] == [
        ["done", "train", "digits", "finished", "0", "neat", "0.9"],
        ["sweep/part", "train", "wine", "unfinished", "3", "adam", "0.75"],
        ["search", "evolve", "sum", "unfinished", "0"],
        ["odd", *found[3][1:3], *found[3][5:]],
    ]
    assert "damaged" in found[3]


def test_a_folder_without_runs_gives_one_line(tmp_path, capsys):
    assert main(["runs", str(tmp_path)]) == 2
    assert "`folder` must be one with runs, got" in capsys.readouterr().err
