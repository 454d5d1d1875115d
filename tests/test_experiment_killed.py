"""Killed at random, twenty times and more, and resumed: the table of one run that nothing disturbed."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from uad_eval.results import Evaluation

# Processes are forked from one that has imported everything and has no thread yet: a fresh one imports for seconds.
KILLS = """
import json, os, random, shutil, signal, sys, time
from pathlib import Path

import torch

from uad_eval.experiment import ExperimentSettings, MethodSpec, run_experiment

torch.set_num_threads(1)
table, out, chance = sys.argv[1], Path(sys.argv[2]), random.Random(int(sys.argv[3]))
METHODS = ("intensity", "ae:steps=12,latent_dim=4,batch_size=8,validate_every=4,checkpoint_every=3")


def child(name):
    pid = os.fork()
    if pid == 0:
        asked = ExperimentSettings(
            cohort=table, methods=tuple(map(MethodSpec.parse, METHODS)), size=(32, 32), output=out / name,
            cache=out / name / "cache", workers=1, accelerator="cpu",
        )
        run_experiment(asked, progress=False)
        os._exit(0)
    return pid


start = time.monotonic()
assert os.waitpid(child("whole"), 0)[1] == 0
seconds = time.monotonic() - start
kills, ends = [], 0
while len(kills) < 20 or sum(kills) < 5:
    name = f"killed-{ends}"
    pid = child(name)
    time.sleep(chance.uniform(0, 0.6) * seconds)
    os.kill(pid, signal.SIGKILL)
    if os.waitpid(pid, 0)[1] == 0:
        ends += 1
        continue
    kills.append(any((out / name).glob("cells/*/*")))
assert os.waitpid(child(f"killed-{ends}"), 0)[1] == 0
print(json.dumps({"kills": kills, "runs": ends + 1}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_killed_twenty_times_and_resumed_the_table_is_the_same(small_table: Path, tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    command = [sys.executable, "-c", KILLS, str(small_table), str(tmp_path), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found["kills"]) >= 20
    assert sum(found["kills"]) >= 5  # a cell was at work
    whole = Evaluation.read(tmp_path / "whole")
    for number in range(found["runs"]):
        resumed = Evaluation.read(tmp_path / f"killed-{number}")
        for name in ("results", "samples", "curves"):
            one, other = (getattr(each, name) for each in (whole, resumed))
            if name == "results":  # but for what a clock or the memory says
                one, other = (each[~each["unit"].isin(["s", "MiB"])].reset_index(drop=True) for each in (one, other))
            pd.testing.assert_frame_equal(one, other)
        assert not (tmp_path / f"killed-{number}" / "failed.csv").exists()
        assert not list((tmp_path / f"killed-{number}").glob("cells/*/.tmp-*.npy"))
