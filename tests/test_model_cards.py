"""A card per method: its figures are those of the tables, and what differs from the preset is marked."""

from pathlib import Path

import pytest

from uad_eval import leaderboard
from uad_eval.experiment import (
    Experiment,
    ExperimentSettings,
    MethodSpec,
    folded_cards,
    found_lesions,
    measured_lesions,
    model_cards,
    run_experiment,
    write_cards,
)

METHODS = ("intensity", "ae:latent_dim=4")


@pytest.fixture(scope="module")
def experiment(small_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    folder = tmp_path_factory.mktemp("cards")
    settings = ExperimentSettings(
        cohort=str(small_table),
        methods=tuple(MethodSpec.parse(text) for text in METHODS),
        size=(32, 32),
        output=folder / "out",
        cache=folder / "cache",
        workers=1,
        accelerator="cpu",
        budget="steps:4",
    )
    return run_experiment(settings, progress=False)


def test_cards_hold_the_tables_figures_and_mark_what_differs(experiment: Experiment, tmp_path: Path) -> None:
    cards = model_cards(experiment)
    assert list(cards) == list(leaderboard(experiment.evaluation)["method"])
    board = leaderboard(experiment.evaluation).set_index("method")
    for method, card in cards.items():
        row = board.loc[method]
        low, high = row["average_precision_low"], row["average_precision_high"]
        assert f"| AP, pooled | {row['average_precision']:.3f} [{low:.3f}, {high:.3f}] |" in card
        assert "Not a medical device" in card
        assert "Worst pathology" in card
        assert "| healthy volume |" in card
    trained, untrained = cards[METHODS[1]], cards[METHODS[0]]
    assert "| **latent_dim** | **4** |" in trained
    assert "| **steps** | **4** |" in trained
    assert trained.count("| **") == 4  # a name and a value each
    assert "arxiv.org/abs/2004.03271" in trained
    people = experiment.overview().loc["train", "people"]
    assert f"lesion-free slices of {people} people" in trained or f"of {people - 1} people" in trained
    assert "it is not trained" in untrained
    assert "As preset quick has them" in untrained
    files = write_cards(cards, tmp_path)
    assert [file.read_text() for file in files] == [text + "\n" for text in cards.values()]
    assert (tmp_path / "cards" / "ae-latent-dim-4.md").is_file()
    folded = folded_cards(cards)
    assert folded.count("<details>") == folded.count("</details>") == 2
    assert "<table>" in folded.split("</summary>")[1].split("</details>")[0]


def test_lesions_found_are_those_that_measured_lesions_finds(experiment: Experiment) -> None:
    found = found_lesions(experiment)
    for method in METHODS:
        own, measured = found[found["method"] == method], measured_lesions(experiment, method)
        columns = ["subject", "pathology", "volume_ml", "found"]
        assert sorted(own[columns].itertuples(index=False)) == sorted(measured[columns].itertuples(index=False))
