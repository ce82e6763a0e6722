"""The phase of a run, as its files show it."""

import json

import pytest

from rocket_tf.commands import interruptions as command
from rocket_tf.studies.interruptions import PHASES, RUN, _is_in


def make(workdir, names):
    for name in names:
        path = workdir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


@pytest.mark.parametrize(
    "names, phases",
    [
        ([], []),
        (["checkpoints/epoch-1.index"], []),
        (["checkpoints/saving.data-00000-of-00001"], ["checkpoint"]),
        (["light/.12.partial/saved_model.pb"], ["export"]),
        (["light/1/saved_model.pb"], []),
        (["checkpoints/epoch-1.index", "checkpoints/epoch-2-step-6.index"], []),
        (["checkpoints/epoch-2-step-6.index", "checkpoints/epoch-2-step-7.index"], ["evaluation"]),
        (["checkpoints/epoch-2-step-7.index", "checkpoints/epoch-3.index"], []),
    ],
    ids=str,
)
def test_phases(tmp_path, names, phases):
    """The run has eight steps an epoch and has finished two epochs."""
    make(tmp_path, names)
    lines = [json.dumps({"epoch": epoch, "step": 8 * epoch}) + "\n" for epoch in (1, 2)]
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    assert [phase for phase in PHASES if _is_in(phase, tmp_path)] == phases


def test_the_command_accepts_any_configuration(monkeypatch, tmp_path):
    asked = []

    def disturb(kills, damages, seed, run, in_phases):
        asked.append((kills, damages, run, in_phases))
        return {"same": 0, "trials": []}

    monkeypatch.setattr(command, "disturb", disturb)
    assert command.main(["--kills=2", "--exports=3"]) == 0
    output = tmp_path / "log.json"
    more = ["--config=clicks", "--set=epochs=3", "--evaluations=1", f"--output={output}"]
    assert command.main(more) == 0
    assert asked[0] == (2, 10, RUN, {"export": 3, "evaluation": 0})
    assert asked[1][2] == [
        "--config=clicks",
        "--config.pictures=False",
        "--config.epochs=3",
        "--config.checkpoint_every_steps=1",
    ]
    assert json.loads(output.read_text())["command"].endswith(
        "interruptions --kills=20 --exports=0 --evaluations=1 --damages=10 --config=clicks "
        "--set=epochs=3 --seed=0"
    )
    for wrong in (["--set=epochs=3"], ["--config=clicks", "--set=epoch=3"], ["--exports=-1"]):
        assert command.main(wrong) == 2
