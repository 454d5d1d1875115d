"""One page about one scan: what was found, where, how sure one may be, and how it was made. It opens offline."""

from datetime import datetime
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from uad_models.clinical.findings import MIDLINE_MM
from uad_models.clinical.scan_pictures import AXIAL, Painter, heat_css, largest_slices, spread_slices
from uad_models.clinical.scan_result import ScanResult
from uad_models.clinical.verdict import Verdict

LARGEST = 3
"""Findings that get pictures of their own."""
_MONTAGE = 24
_FIRST_ROWS, _ROWS = 8, 100  # of the table of findings
_BINS = 70
_PACKAGES = ("uad-models", "uad-data", "uad-postproc", "torch")
_DISCLAIMER = "Research use only. Not a medical device: not for diagnosis or for decisions about treatment."


def write_report(result: ScanResult, path: Path) -> None:
    """Write the page.

    Parameters
    ----------
    result
        The predicted scan.
    path
        The ``.html`` file.
    """
    painter = _painter(result)
    name = escape(" ".join(filter(None, (result.files.subject, result.files.session))))
    files = escape(", ".join("/".join(Path(path).parts[-2:]) for path in result.files.images.values()))
    style = Path(__file__).with_name("scan_report.css").read_text(encoding="utf-8")
    parts = [
        *_findings_pictures(result, painter),
        _montage(result, painter),
        _table(result),
        _classes(result),
        _histogram(result),
        _quality(result),
        _made_by(result),
    ]
    path.write_text(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}: anomaly report</title><style>{style}</style></head>\n<body>\n"
        f'<header><h1>{name}</h1><p class="soft">{files}</p>{_verdict(result)}{_warnings(result)}</header>\n'
        f"<main>{''.join(parts)}</main>\n"
        f'<footer class="soft"><p>{_conventions(result)}</p><p><b>{_DISCLAIMER}</b></p></footer>\n</body></html>\n',
        encoding="utf-8",
    )


def _painter(result: ScanResult) -> Painter:
    """Choose the range of colours: from half of the threshold to what hardly any voxel exceeds."""
    inside = result.scores[result.brain] if result.brain.any() else result.scores.ravel()
    middle, high = np.quantile(inside[:: max(inside.size // 500_000, 1)], (0.5, 0.999))
    low = result.threshold / 2 if result.threshold and result.threshold > 0 else middle
    return Painter(
        image=result.image,
        scores=result.scores,
        brain=result.brain,
        labels=result.labels,
        spacing=result.spacing,
        low=float(low),
        high=float(max(high, min(1.5 * (result.threshold or 0), inside.max()), low + 1e-6)),
    )


def _verdict(result: ScanResult) -> str:
    """Say it in one line."""
    if result.findings is None:
        line = "No threshold: map only"
        more = (
            "The run has no threshold that was fitted on healthy people, and none was given (--threshold), so nothing "
            "was decided: there is no mask and no list of findings."
        )
    else:
        count = len(result.findings)
        line = "No finding" if count == 0 else f"{count} finding{'s' if count > 1 else ''}"
        if not result.share_judged:
            line = "Nothing was judged"
        if count and result.total_ml is not None:
            line += f", {_ml(result.total_ml)} in total"
        more = f"{result.marked:.2%} of {_brain(result)} is marked" if result.marked is not None else "No mask"
        verdict = result.verdict
        if verdict and result.own_threshold is None:
            more += (
                f". For comparison, {_healthy(result, verdict)}: in the mean "
                f"{verdict.healthy_mean:.2%} of a brain was marked, in half of the scans at most "
                f"{verdict.healthy_median:.2%}, in 95 % of them at most {verdict.healthy_high:.2%}"
            )
        more += f". {_not_judged(result)}"
    return f'<div class="verdict"><b>{line}</b><p>{more}</p><p><b style="font-size:inherit">{_DISCLAIMER}</b></p></div>'


def _not_judged(result: ScanResult) -> str:
    """Say which part of the brain the mask leaves open."""
    if not _partly_judged(result):
        return ""
    rule, share = result.config.spec.slices, 1 - (result.share_judged or 0)
    told = f"{share:.1%}" if share >= 0.001 else "Less than 0.1%"
    small = "" if rule.startswith("centre") else ", small ones near the crown and the skull base"
    return (
        f"{told} of the brain was not judged: slices that the run's rule ({rule}) kept from training{small}. "
        "They have a map, but no mask."
    )


def _partly_judged(result: ScanResult) -> bool:
    """Tell whether the mask leaves a part of the brain open."""
    return result.share_judged is not None and result.share_judged < 1


def _brain(result: ScanResult) -> str:
    """Name what shares are of."""
    return "the judged brain" if result.share_judged and _partly_judged(result) else "the brain"


def _warnings(result: ScanResult) -> str:
    """List what is odd."""
    items = "".join(f"<li>{escape(text)}</li>" for text in result.warnings)
    title = "<b>Look at this scan before its findings</b>"
    return f'<div class="warn" role="alert">{title}<ul>{items}</ul></div>' if items else ""


def _findings_pictures(result: ScanResult, painter: Painter) -> list[str]:
    """Show the largest findings from three sides, plain and with the map."""
    sections: list[str] = []
    if result.findings is None or result.labels is None:
        return sections
    # Columns as wide as what they show: one scale for all three planes.
    # A stack of pictures has no known distance between slices, so that other planes would be squashed.
    views = [AXIAL] if result.files.is_picture else painter.views
    columns = " ".join(f"{painter.size_mm(view)[1]:.0f}fr" for view in views)
    for row in result.findings.head(LARGEST).to_dict(orient="records"):
        places = largest_slices(result.labels, row["lesion"])
        number = row["lesion"]
        pictures = [
            painter.draw(view, places[view.cut], pixels_per_mm=1.6, overlay=overlay, focus=number if overlay else 0)
            for view in views
            for overlay in (False, True)
        ]
        size = f"{row['voxels']} pixels" if result.files.is_picture else _ml(row["volume_ml"])
        sections.append(
            f'<section class="slices"><h2>Finding {number}: {escape(str(row["side"]))}, {size}</h2>'
            f'<div class="views of-{len(views)}" style="--columns: {columns}">{"".join(pictures)}</div>'
            f"{_key(result, painter, focus=True)}</section>"
        )
    return sections


def _montage(result: ScanResult, painter: Painter) -> str:
    """Show slices through the whole brain with the map."""
    slices = spread_slices(result.brain, _MONTAGE)
    pictures = [
        painter.draw(AXIAL, place, pixels_per_mm=0.9, overlay=True, label=_place(result, place)) for place in slices
    ]
    return (
        f'<section class="slices"><h2>Map over {len(slices)} axial slices</h2>'
        f'<div class="montage">{"".join(pictures)}</div>{_key(result, painter)}</section>'
    )


def _place(result: ScanResult, index: int) -> str:
    """Name an axial slice: by the scanner's millimetres at the image's middle, or by its number; say if no mask."""
    known = result.judged is None or result.judged[index].sum() >= result.brain[index].sum() / 2
    judged = "" if known else ", not judged"
    if result.files.is_picture:
        return f"slice {index + 1}{judged}"
    _, h, w = result.image.shape
    return f"z {result.affine[2] @ [(w - 1) / 2, (h - 1) / 2, index, 1]:.0f}{judged}"


def _key(result: ScanResult, painter: Painter, *, focus: bool = False) -> str:
    """Explain colours and outlines."""
    outline = '<span><i class="line focus"></i>this finding</span>' if focus else ""
    if result.mask is not None:
        outline += f'<span><i class="line"></i>{"the others" if focus else "findings"}</span>'
    bar = f'<i style="background:{heat_css()}"></i>'
    return (
        f'<p class="soft key"><span>map {painter.low:.3g}{bar}{painter.high:.3g}</span>'
        f"{outline}<span>R: the subject's right</span></p>"
    )


def _table(result: ScanResult) -> str:
    """List the findings."""
    if result.findings is None or result.findings.empty:
        return ""
    picture = result.files.is_picture
    names = ["", "pixels" if picture else "volume", "side", "peak", "mean"]
    names[2:2] = [] if picture else ["x, y, z mm"]
    head = "<tr>" + "".join(f"<th>{name}</th>" for name in names) + "</tr>"
    body = []
    for row in result.findings.head(_ROWS).to_dict(orient="records"):
        cells = [row["lesion"], row["voxels"] if picture else _ml(row["volume_ml"])]
        cells += [] if picture else [", ".join(f"{row[f'{axis}_mm']:.0f}" for axis in "xyz")]
        cells += [row["side"], f"{row['peak_score']:.3g}", f"{row['mean_score']:.3g}"]
        body.append("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>")
    shown = f'<div class="scroll"><table>{head}{"".join(body[:_FIRST_ROWS])}</table></div>'
    if rest := "".join(body[_FIRST_ROWS:]):
        shown += (
            f"<details><summary>{len(body) - _FIRST_ROWS} smaller ones</summary>"
            f'<div class="scroll"><table>{head}{rest}</table></div></details>'
        )
    if len(result.findings) > _ROWS:
        shown += f'<p class="soft">{len(result.findings) - _ROWS} still smaller ones stand in lesions.csv.</p>'
    where = "" if picture else " x, y, z: centre in the scanner's space (RAS+)."
    return (
        f"<section><h2>Findings</h2>{shown}"
        f'<p class="soft">Side: by {escape(result.midline.told)}; "midline" is a centre within {MIDLINE_MM:g} '
        f"{'pixels' if picture else 'mm'} of it.{where} Peak and mean: of the map's values inside.</p></section>"
    )


def _classes(result: ScanResult) -> str:
    """List the parts of the lesions that the run tells apart."""
    if result.classes is None:
        return ""
    picture = result.files.is_picture
    voxel_ml = float(np.prod(result.spacing)) / 1000
    body = "".join(
        f"<tr><td>{result.classes.values[name]}</td><td>{escape(name)}</td>"
        f"<td>{count if picture else _ml(count * voxel_ml)}</td></tr>"
        for name, count in result.classes.voxels().items()
    )
    head = f"<tr><th>value</th><th>class</th><th>{'pixels' if picture else 'volume'}</th></tr>"
    return (
        f'<section><h2>Parts</h2><div class="scroll"><table>{head}{body}</table></div>'
        f'<p class="soft">Of all findings together: the likeliest class of each voxel, by its value in '
        f"classes{'.tif' if picture else '.nii.gz'}, as learned from labels.</p></section>"
    )


def _histogram(result: ScanResult) -> str:
    """Draw how often each value of the map occurs, with the threshold."""
    values, told = result.smoothed, "the map as the threshold sees it (smoothed, without the brain's edge)"
    if values is None:
        values, told = result.scores[result.brain], "the map"
    shown = values[values != 0]
    if not shown.size:
        return ""
    limit = result.threshold
    low = float(min(shown.min(), 0))
    high = float(max(shown.max(), 1.4 * (limit or 0), low + 1e-6))
    counts, _ = np.histogram(shown, bins=_BINS, range=(low, high))
    heights = 150 * np.log1p(counts) / np.log1p(counts.max())
    step = 640 / _BINS
    bars = "".join(
        f'<rect x="{i * step + 0.5:.1f}" y="{160 - height:.1f}" width="{step - 1:.1f}" height="{height:.1f}"/>'
        for i, height in enumerate(heights)
        if height
    )
    line = note = ""
    if limit is not None and low <= limit <= high:
        x = 640 * (limit - low) / (high - low)
        anchor, shift = ("end", -6) if x > 420 else ("start", 6)
        line = (
            f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="160"/>'
            f'<text class="limit" x="{x + shift:.1f}" y="13" text-anchor="{anchor}">threshold {limit:.3g}</text>'
        )
    if limit is not None:
        note = f" {(values > limit).mean():.2%} of {_brain(result)} is above the threshold"
        own = result.own_threshold is not None or result.verdict is None
        note += "." if own else f", {result.verdict.false_positive_rate:.2%} in healthy brains."  # type: ignore[union-attr]
    return (
        f'<section><h2>Values of the map</h2><svg class="histogram" viewBox="0 -4 640 186" role="img" '
        f'aria-label="histogram of the map">{bars}<line x1="0" x2="640" y1="160" y2="160"/>{line}'
        f'<text x="0" y="178">{low:.3g}</text><text x="640" y="178" text-anchor="end">{high:.3g}</text></svg>'
        f'<p class="soft">Voxels of {_brain(result)}, by {told}; heights are logarithmic.{note}</p></section>'
    )


def _quality(result: ScanResult) -> str:
    """Give the measures of the prepared scan."""
    quality = result.quality
    rows = []
    for key, name, form in (
        ("brain_ml", "Brain", "{:.0f} ml"),
        ("dice_to_template", "Dice of brain and template", "{:.2f}"),
        ("coverage", "Brain inside the scan", "{:.0%}"),
        ("snr", "Signal to noise", "{:.1f}"),
        ("contrast", "Tissue contrast", "{:.2f}"),
    ):
        if quality.get(key) is not None:
            rows.append((name, form.format(quality[key])))
    if not result.files.is_picture:
        d, h, w = result.spacing
        rows.append(("Voxels", f"{w:.3g} × {h:.3g} × {d:.3g} mm (right, anterior, superior)"))
    return f"<section><h2>The scan</h2>{_facts(rows)}</section>" if rows else ""


def _made_by(result: ScanResult) -> str:
    """Say what was run."""
    config = result.config
    trained = f"{config.rows['train']} healthy items" if config.rows else "nothing (it needs no training)"
    if config.labels:
        trained = f"{config.rows['train']} items of {len(config.labels['scans'])} labelled scan(s)"
    size = " × ".join(map(str, config.spec.size))
    rows = [
        ("Files", ", ".join(f"{name}: {Path(path).name}" for name, path in result.files.images.items())),
        ("Brain mask", Path(result.files.brain).name if result.files.brain else "found automatically"),
        ("Method", f"{config.method}, preset {config.preset}, seed {config.seed}, images of {size}"),
        ("Run", f"{result.run.resolve().name}, trained on {trained}"),
        ("Preparation", _preparation(result)),
        ("Threshold", _threshold(result)),
        ("Pipeline", _pipeline(result)),
        ("Date", datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")),
        ("Versions", ", ".join(f"{name} {version(name)}" for name in _PACKAGES)),
    ]
    return f"<section><h2>How it was made</h2>{_facts(rows)}</section>"


def _preparation(result: ScanResult) -> str:
    """Name the recipe and what was done with it."""
    recipe = result.config.recipe
    if not recipe:
        return "none: the scan as it was"
    when = "before this prediction" if result.prepared == "before" else "by this prediction"
    return f"{recipe.get('name')} ({', '.join(step['step'] for step in recipe['steps'])}), {when}"


def _threshold(result: ScanResult) -> str:
    """Say where the threshold comes from."""
    if result.threshold is None:
        return "none"
    verdict = result.verdict
    if result.own_threshold is not None or verdict is None:
        return f"{result.threshold:.4g}, given by the user"
    if result.config.labels:
        return (
            f"{result.threshold:.4g} of a probability that was learned from the labels of "
            f"{len(result.config.labels['scans'])} scan(s); with it {verdict.healthy_mean:.2%} of a brain is marked in "
            f"{_healthy(result, verdict)}"
        )
    return (
        f"{result.threshold:.4g}, fitted on {_healthy(result, verdict)}, in which it marks {verdict.healthy_mean:.2%} "
        "of a brain in the mean; no lesion was used"
    )


def _pipeline(result: ScanResult) -> str:
    """Name the steps from map to mask."""
    if result.pipeline is None:
        return "none"
    return f"{result.pipeline.name}: {', '.join(type(step).__name__ for step in result.pipeline.steps)}"


def _conventions(result: ScanResult) -> str:
    """State how to read left and right."""
    text = (
        "Radiological convention: in axial and coronal pictures the subject's right is on the left of the picture "
        "(marked R), as if seen from the feet or from the front; in sagittal ones anterior (A) is on the left. "
    )
    if result.files.is_picture:
        return text + (
            "The files are pictures, which carry no orientation and no millimetres: they are taken to be axial, "
            "anterior at the top, the subject's right on the left. If they are not, the sides are wrong."
        )
    return text + "Slices run along the scan's own axes; sizes are true to the millimetre in every direction."


def _facts(rows: list[tuple[str, Any]]) -> str:
    """Make a table of names and values."""
    body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in rows)
    return f'<table class="facts">{body}</table>'


def _healthy(result: ScanResult, verdict: Verdict) -> str:
    """Name what the threshold was fitted on."""
    items = "slices" if len(result.config.spec.size) == 2 else "volumes"
    people = "person" if verdict.people == 1 else "people"
    return f"{verdict.items} {items} without lesion of {verdict.people} {people} of the run's validation set"


def _ml(volume: float) -> str:
    """Write a volume."""
    return f"{volume:.1f} ml" if volume >= 1 else f"{volume:.2f} ml"
