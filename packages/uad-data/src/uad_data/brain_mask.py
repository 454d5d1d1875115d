"""The inside of the skull."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from uad_data.errors import InputError

HEAD_WIDTH = 170.0
"""Diameter of a circle as large as the widest head slice; all lengths below are in these units, about 1 mm."""
_ANGLES = 128
_RADII = 112
_STEP = 4
_COARSE = 120
_THETA = 2 * np.pi * np.arange(_ANGLES) / _ANGLES
_SKULL = 10.0
_RING_RAYS = 0.5


@dataclass(frozen=True)
class _Ruler:
    """Sizes of a pixel (h, w) in head units, and the stride of the coarse copy used for outlines."""

    pixel: np.ndarray
    stride: int

    def coarse(self, image: np.ndarray) -> np.ndarray:
        return image[:: self.stride, :: self.stride]

    def full(self, mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return mask.repeat(self.stride, 0).repeat(self.stride, 1)[: shape[0], : shape[1]]


def brain_mask(volume: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    if is_stripped(volume, spacing):
        return stripped_mask(volume)
    return head_slice_mask(volume, spacing)


def is_stripped(volume: np.ndarray, spacing=(1.,1.,1.)) -> bool:
    return _ring_fraction(volume, spacing) < _RING_RAYS


def _ring_fraction(volume, spacing):
    volume = np.asarray(volume, np.float32)
    floor = _foreground_level(volume)
    if floor is None:
        return 0.0
    stride = _stride(volume)
    coarse = _shrink(volume, stride)
    areas = (coarse > floor).sum((1, 2))
    rays = []
    for k in np.flatnonzero(areas >= 0.6 * areas.max())[:: max(1, int((areas >= 0.6 * areas.max()).sum() // 8))]:
        head = _outline(coarse[k], floor)
        ruler = _ruler(head, stride, spacing)
        image, depth = _rays(volume[k], head, _centre(head, stride), ruler)
        level = np.median(image[depth > 20]) if (depth > 20).any() else 0
        shallow = (depth > 0) & (depth < 30)
        seen = np.where(shallow, image / max(level, 1e-6), 0)
        outside = np.maximum.accumulate(seen[:, ::-1], 1)[:, ::-1]
        inside = np.maximum.accumulate(seen, 1)
        dip = np.where(shallow, np.minimum(np.minimum(outside, inside), 1.0) - seen, 0).max(1)
        rays.append(dip)
    return float((np.concatenate(rays) > 0.35).mean()) if rays else 0.0


def stripped_mask(volume: np.ndarray) -> np.ndarray:
    volume = np.asarray(volume, np.float32)
    floor = volume.min()
    mask = volume > floor + 0.01 * (np.percentile(volume, 99.5) - floor)
    return np.stack([ndimage.binary_fill_holes(m) for m in mask])


# ---------------------------------------------------------------- heads
def head_slice_mask(volume: np.ndarray, spacing: tuple[float, float, float], info=None) -> np.ndarray:
    volume = np.asarray(volume, np.float32)
    out = np.zeros(volume.shape, bool)
    floor = _foreground_level(volume)
    if floor is None:
        return out
    stride = _stride(volume)
    coarse = _shrink(volume, stride)
    first = _start(volume, coarse, floor, stride, spacing)
    if first is None:
        return out
    k0, level0, ruler, out[k0] = first
    widest = out[k0].sum()
    rep = {k0: (level0, 1, 1, 1, 1)}
    for step in (1, -1):
        below, level, k, doubt = out[k0], level0, k0 + step, 0
        while 0 <= k < len(volume):
            core = ndimage.distance_transform_edt(ruler.coarse(below), sampling=ruler.pixel * stride) > 4
            values = coarse[k][core]
            if values.size < 20:
                break
            level = float(np.clip(np.median(values), 0.7 * level, 1.4 * level))
            head = _outline(coarse[k], 0.35 * level)
            skull = _skull_depth(head, ruler) if step > 0 else _SKULL
            if skull is None:
                break
            grow = 4.0 if below.sum() > 0.93 * widest else (1.0 if step > 0 else 3.0)
            new, alike, ringed = _slice_mask(volume[k], head, level, ruler, skull, below, grow, 0.3 if step>0 else DEEP)
            widest = max(widest, new.sum())
            rep[k] = (level, alike, ringed, new.sum() / widest, skull)
            doubt = doubt + 1 if step < 0 and new.sum() < 0.65 * widest and alike * ringed < 0.45 else 0
            if new.sum() < 0.06 * widest or doubt == 2:
                break
            out[k] = below = new
            k += step
    if info is not None:
        info.update(k0=k0, unit=ruler.pixel[0], mu0=level0, rep=rep)
    return out


def _stride(volume):
    return max(1, min(volume.shape[1:]) // _COARSE)


def _shrink(volume, stride):
    return ndimage.uniform_filter(volume, (0, stride, stride))[:, ::stride, ::stride] if stride > 1 else volume


def _foreground_level(volume):
    positive = volume[volume > volume.min()]
    if positive.size < 50:
        return None
    return 0.5 * float(threshold_otsu(np.minimum(positive, np.percentile(positive, 98))))


def _outline(image, level):
    mask = ndimage.binary_opening(image > level).astype(np.uint8)
    mask = np.pad(mask, 4)
    mask = ndimage.minimum_filter(ndimage.maximum_filter(mask, 7), 7)[4:-4, 4:-4]
    return ndimage.binary_fill_holes(_largest(mask > 0))


def _largest(mask):
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    return labels == np.bincount(labels.ravel())[1:].argmax() + 1


def _ruler(head, stride, spacing):
    pixel = np.array(spacing[1:], float)
    diameter = 2 * np.sqrt(head.sum() * stride**2 * pixel.prod() / np.pi)
    return _Ruler(pixel * HEAD_WIDTH / diameter, stride)


def _centre(mask, stride=1):
    return np.array(ndimage.center_of_mass(mask)) * stride


def _polar(image, centre, pixel, outside=0.0):
    radii = np.arange(_RADII)
    rows = centre[0] + np.sin(_THETA)[:, None] * radii / pixel[0]
    columns = centre[1] + np.cos(_THETA)[:, None] * radii / pixel[1]
    return ndimage.map_coordinates(image, [rows, columns], order=1, mode="constant", cval=outside)


def _rays(image, head, centre, ruler):
    smooth = ndimage.gaussian_filter(image, 0.7 / ruler.pixel)
    pixel = ruler.pixel * ruler.stride
    depth = ndimage.distance_transform_edt(np.pad(head, 1), sampling=pixel)[1:-1, 1:-1]
    return _polar(smooth, centre, ruler.pixel), _polar(depth, centre / ruler.stride, pixel)


def _skull_depth(head, ruler):
    """Depth of the brain in a slice above the widest one, for a ball with a shell; None above the brain."""
    radius = np.sqrt(head.sum() * (ruler.pixel * ruler.stride).prod() / np.pi)
    shell = (HEAD_WIDTH / 2) ** 2 - (HEAD_WIDTH / 2 - _SKULL) ** 2
    brain = np.sqrt(max(radius**2 - shell, 0.0))
    return max(_SKULL, radius - brain) if brain >= 8 else None


def _start(volume, coarse, floor, stride, spacing):
    n = len(volume)
    ks = np.unique(np.linspace(0, n - 1, min(n, 12)).astype(int))
    heads = [_outline(coarse[k], floor) for k in ks]
    areas = np.array([h.sum() for h in heads])
    keep = np.flatnonzero(areas >= max(0.7 * areas.max(), 30))
    levels = np.zeros(len(ks))
    for j in keep:
        ruler = _ruler(heads[j], stride, spacing)
        levels[j] = np.median(_polar(coarse[ks[j]], _centre(heads[j]), ruler.pixel * stride)[:, :40])
    usual = np.median(levels[keep]) if len(keep) else 0
    best = None
    top = 0.
    for j in keep:
        level = min(levels[j], 1.25 * usual)
        if level <= floor:
            continue
        head = _outline(coarse[ks[j]], 0.35 * level)
        ruler = _ruler(heads[j], stride, spacing)
        mask, alike, ringed = _slice_mask(volume[ks[j]], head, level, ruler, _SKULL)
        q = alike * ringed * (mask.sum() / (head.sum() * stride**2)) ** 3
        if q > top:
            top, best = q, (ks[j], level, ruler, mask)
    return best


def _slice_mask(image, head, level, ruler, skull, neighbour=None, grow=0.0, deep=0.3):
    centre = _centre(head, ruler.stride) if neighbour is None else _centre(neighbour)
    rays, depth = _rays(image / level, head, centre, ruler)
    evidence = np.interp(rays, [0.35, 0.55, 0.75, 1.3, 1.8, 2.3, 3.0], [-1.2, -0.2, 0.5, 0.5, 0.1, 0.1, -0.3])
    evidence += np.interp(depth, [0, 0.4 * skull, skull, 1.8 * skull], [-3, -2, 0, deep])
    if neighbour is not None:
        pixel = ruler.pixel * ruler.stride
        within = ndimage.distance_transform_edt(ruler.coarse(neighbour), sampling=pixel)
        evidence += np.interp(_polar(within, centre / ruler.stride, pixel), [IN0, IN1], [0, INB])
    fall = _fall(np.clip(rays, 0, 1.3))
    score = evidence.cumsum(1) + 4 * fall
    if neighbour is not None:
        pixel = ruler.pixel * ruler.stride
        away = ndimage.distance_transform_edt(~ruler.coarse(neighbour), sampling=pixel)
        away = _polar(away, centre / ruler.stride, pixel, 99.0)
        score -= 2 * np.maximum(away - grow, 0) ** 2
    radius = _contour(score)
    inside = rays[np.arange(_RADII) <= radius[:, None] - 3]
    alike = (np.abs(inside - np.median(inside)) < 0.35 * np.median(inside)).mean() if inside.size > 50 else 0.0
    ringed = (fall[np.arange(_ANGLES), radius] > 0.2).mean()
    radius = ndimage.grey_closing(radius, _CLOSE, mode="wrap") + 0.5
    mask = _fill(radius, centre, ruler.pixel, image.shape)
    return _largest(mask & ruler.full(head, image.shape)), alike, ringed
_CLOSE = 7
DEEP = 0.0
IN0, IN1, INB = 8., 16., .7


def _fill(radius, centre, pixel, shape):
    y = ((np.arange(shape[0]) - centre[0]) * pixel[0])[:, None]
    x = ((np.arange(shape[1]) - centre[1]) * pixel[1])[None]
    turn = np.mod(np.arctan2(y, x) / (2 * np.pi), 1)
    edge = np.interp(turn, np.arange(_ANGLES + 1) / _ANGLES, np.append(radius, radius[0]))
    return y**2 + x**2 <= edge**2


def _fall(rays):
    w = 3
    total = np.pad(rays.cumsum(1), ((0, 0), (w, w)), mode="edge")
    return (2 * total[:, w:-w] - total[:, : -2 * w] - total[:, 2 * w :]) / w


def _contour(score, stiffness=0.12):
    steps = np.arange(-_STEP, _STEP + 1)[:, None]
    cost = stiffness * steps**2
    radii = np.arange(_RADII)
    lanes = radii + steps + _STEP
    score = np.concatenate([score, score[: _ANGLES // 2]])
    back = np.zeros((len(score), _RADII), int)
    best = np.full(_RADII + 2 * _STEP, -1e9)
    total = best[_STEP:-_STEP]
    total[:] = score[0]
    for a in range(1, len(score)):
        ways = best[lanes] - cost
        choice = ways.argmax(0)
        back[a] = radii + choice - _STEP
        total[:] = ways[choice, radii] + score[a]
    path = np.zeros(len(score), int)
    path[-1] = total.argmax()
    for a in range(len(score) - 1, 0, -1):
        path[a - 1] = back[a, path[a]]
    return np.roll(path[_ANGLES // 4 : _ANGLES // 4 + _ANGLES], _ANGLES // 4)
