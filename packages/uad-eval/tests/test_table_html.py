import re

import numpy as np
import pytest

from uad_eval import leaderboard, render_html


@pytest.fixture(scope="module")
def page(evaluation):
    return render_html(leaderboard(evaluation, baselines=["<baseline>"]))


def test_one_self_contained_table_with_escaped_names(page):
    assert page.count("<tr") == 4
    assert "&lt;baseline&gt;" in page
    assert "<baseline>" not in page
    assert page.count('class="tag"') == 1
    assert "http" not in page
    assert "<script" not in page


def test_a_name_breaks_between_its_settings(evaluation):
    board = leaderboard(evaluation)
    board["method"] = ["vae:beta=2,latent=8", "b", "c"]
    assert "vae:<wbr>beta=<wbr>2,<wbr>latent=<wbr>8" in render_html(board)


def test_bold_only_where_the_best_is_apart(evaluation):
    board = leaderboard(evaluation)
    board[["auroc", "auroc_low", "auroc_high"]] = [[0.9, 0.8, 0.95], [0.7, 0.6, 0.79], [0.5, 0.4, 0.6]]
    assert "<b>0.900</b>" in render_html(board)
    board["auroc_low"] = [0.78, 0.6, 0.4]
    assert "<b>0.900</b>" not in render_html(board)


def test_key_states_scope_protocol_and_chance(page, evaluation):
    prevalence = evaluation.results.set_index("metric").loc["prevalence", "value"].iloc[0]
    for text in ("every second", "6 test subjects", "2 % of healthy", f"Chance gives {prevalence:.3f}", "upper bound"):
        assert text in page
    assert re.search(r"−0\.\d{3} to −0\.\d{3}", page)


def test_a_column_that_nobody_has_is_left_out(evaluation):
    board = leaderboard(evaluation).assign(scan_auroc=np.nan)
    assert "Scan AUROC" not in render_html(board)
    assert "<td>–</td>" in render_html(board)  # the best has no difference from itself


def test_a_narrow_screen_keeps_rank_name_ranked_figure_and_one_dice_without_labels(page):
    headings = re.findall(r'<th scope="col" class="([^"]*)">([^<]*)', page)
    shown = [heading for kind, heading in headings if kind != "more"]
    assert shown == ["#", "Method", "AP", "AP − best, paired", "Dice, healthy validation"]
    for row in page.split("<tr")[2:]:
        assert row.count('class="more"') == sum(kind == "more" for kind, _ in headings)
    assert "prefers-color-scheme: dark" in page
    assert page.count('type="checkbox"') == 1


def test_without_that_dice_a_narrow_screen_keeps_the_next(evaluation):
    board = leaderboard(evaluation).assign(dice_healthy_validation=np.nan)
    assert '<th scope="col" class="">Dice, lesion validation' in render_html(board)
