"""Draw the 40 labels of each generated face: base rates, what excludes what, and who influences whom.

A label is on when `correlation * (weights . labels drawn before it, as -1/1) + a normal deviate` passes a threshold
(a probit model). The thresholds are set on a fixed sample of 200,000 rows so that every attribute has its rate
whatever the correlation and whatever excludes it. Attributes that exclude one another never meet in a face.
"""

import difflib

import numpy as np

from utils.common.errors import InputError

# name, in official order: (share of CelebA's faces, {attribute drawn before it: weight in standard deviations})
MODEL = {
    "5_o_Clock_Shadow": (0.111, {"Male": 2.0, "Young": 0.3}),
    "Arched_Eyebrows": (0.267, {"Male": -0.5, "Heavy_Makeup": 0.4}),
    "Attractive": (0.513, {"Young": 0.6, "Male": -0.1, "Heavy_Makeup": 0.5, "Chubby": -0.7, "Eyeglasses": -0.4}),
    "Bags_Under_Eyes": (0.205, {"Male": 0.4, "Young": -0.3}),
    "Bald": (0.022, {"Male": 1.7, "Young": -0.4}),
    "Bangs": (0.152, {"Male": -0.4, "Young": -0.1}),
    "Big_Lips": (0.241, {"Male": -0.2, "Young": 0.2}),
    "Big_Nose": (0.235, {"Male": 0.5, "Young": -0.3, "Chubby": 0.5}),
    "Black_Hair": (0.239, {"Male": 0.2, "Young": 0.3}),
    "Blond_Hair": (0.148, {"Male": -0.9, "Young": -0.2}),
    "Blurry": (0.051, {"Attractive": -0.6}),
    "Brown_Hair": (0.205, {"Male": -0.1, "Young": 0.2}),
    "Bushy_Eyebrows": (0.142, {"Male": 0.4, "Black_Hair": 0.4}),
    "Chubby": (0.058, {"Young": -0.5, "Male": 0.6, "Bald": 0.5}),
    "Double_Chin": (0.047, {"Chubby": 1.0, "Young": -0.5, "Gray_Hair": 0.3}),
    "Eyeglasses": (0.065, {"Male": 0.4, "Young": -0.3}),
    "Goatee": (0.063, {"Male": 1.1}),
    "Gray_Hair": (0.042, {"Young": -1.3, "Male": 0.4}),
    "Heavy_Makeup": (0.387, {"Male": -1.8, "Young": 0.2}),
    "High_Cheekbones": (0.455, {"Smiling": 1.0, "Heavy_Makeup": 0.4}),
    "Male": (0.417, {}),
    "Mouth_Slightly_Open": (0.483, {"Smiling": 0.7}),
    "Mustache": (0.042, {"Male": 1.7, "Goatee": 0.8, "Young": -0.1}),
    "Narrow_Eyes": (0.115, {"Smiling": 0.1}),
    "No_Beard": (0.835, {"Male": -1.8, "Young": -0.1}),
    "Oval_Face": (0.284, {"Smiling": 0.2, "Heavy_Makeup": 0.2}),
    "Pale_Skin": (0.043, {"Male": -0.2}),
    "Pointy_Nose": (0.277, {"Heavy_Makeup": 0.3, "Big_Nose": -0.2}),
    "Receding_Hairline": (0.080, {"Young": -0.2, "Male": 0.2, "Gray_Hair": 0.4}),
    "Rosy_Cheeks": (0.066, {"Heavy_Makeup": 0.8, "Smiling": 0.5}),
    "Sideburns": (0.057, {"Male": 1.9, "Goatee": 0.7}),
    "Smiling": (0.482, {"Male": -0.2}),
    "Straight_Hair": (0.208, {"Male": 0.1}),
    "Wavy_Hair": (0.320, {"Male": -0.3, "Heavy_Makeup": 0.2}),
    "Wearing_Earrings": (0.189, {"Male": -0.8, "Heavy_Makeup": 0.2, "Smiling": 0.2}),
    "Wearing_Hat": (0.049, {"Male": 0.4}),
    "Wearing_Lipstick": (0.472, {"Male": -1.4, "Heavy_Makeup": 1.2}),
    "Wearing_Necklace": (0.123, {"Male": -0.7, "Wearing_Earrings": 0.2}),
    "Wearing_Necktie": (0.073, {"Male": 1.7, "Young": -0.3}),
    "Young": (0.774, {"Male": -0.4}),
}
ATTRIBUTES = tuple(MODEL)

# drawn in this order: those that influence or exclude others come first; the rest follows in official order
_FIRST = ("Male", "Young", "Smiling", "No_Beard", "Wearing_Hat", "Bald", "Gray_Hair", "Black_Hair", "Blond_Hair")
_FIRST += ("Chubby", "Heavy_Makeup", "Goatee", "Big_Nose", "Eyeglasses", "Attractive", "Wearing_Earrings")
DRAWING_ORDER = _FIRST + tuple(name for name in ATTRIBUTES if name not in _FIRST)

_GROUPS = (  # in each: the attributes on the left exclude those on the right
    (("No_Beard",), ("Goatee", "Mustache", "5_o_Clock_Shadow", "Sideburns")),
    (("Wearing_Hat",), ("Bald", "Bangs", "Receding_Hairline", "Straight_Hair", "Wavy_Hair")),
    (("Bald",), ("Bangs", "Receding_Hairline", "Straight_Hair", "Wavy_Hair")),
    (("Bald",), ("Gray_Hair", "Black_Hair", "Blond_Hair", "Brown_Hair")),
    (("Gray_Hair",), ("Black_Hair", "Blond_Hair", "Brown_Hair")),
    (("Black_Hair",), ("Blond_Hair", "Brown_Hair")),
    (("Blond_Hair",), ("Brown_Hair",)),
    (("Bangs",), ("Receding_Hairline",)),
    (("Straight_Hair",), ("Wavy_Hair",)),
)
EXCLUSIONS = tuple((left, right) for lefts, rights in _GROUPS for left in lefts for right in rights)


def _earlier_excluders(name):
    """The attributes that exclude `name` and are drawn before it."""
    others = {left if right == name else right for left, right in EXCLUSIONS if name in (left, right)}
    return tuple(other for other in DRAWING_ORDER[: DRAWING_ORDER.index(name)] if other in others)


_EARLIER_EXCLUDERS = {name: _earlier_excluders(name) for name in DRAWING_ORDER}
_CALIBRATION_ROWS = 200_000
_LARGEST_SHARE = 0.7  # of the faces that may have it; an attribute not named in `rates` gives way beyond this


def check_rates(rates):
    """Base rate of every attribute once `rates` are set; the others give way where they exclude a named one.

    Args:
        rates: {attribute: share of the faces in (0, 1)}, or None
    Returns: {attribute: rate} for all 40
    Raises: InputError for an unknown name, a share outside (0, 1), or named rates that cannot hold together
    """
    named = dict(rates or {})
    for name, rate in named.items():
        if name not in MODEL:
            near = difflib.get_close_matches(str(name), ATTRIBUTES, n=1, cutoff=0.0)
            raise InputError(f"rate of {name!r}: no such CelebA attribute; did you mean {near[0]}?")
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate < 1:
            raise InputError(f"rate {name}={rate}: expected a share of the faces between 0 and 1, both excluded")
    settled = {name: named.get(name, rate) for name, (rate, _) in MODEL.items()}
    for name, rate in named.items():
        earlier = _EARLIER_EXCLUDERS[name]
        fixed = sum(named[other] for other in earlier if other in named)
        if rate + fixed > 1 + 1e-9:
            others = ", ".join(f"{other}={named[other]}" for other in earlier if other in named)
            raise InputError(f"rate {name}={rate} cannot hold beside {others}: no face has both, so lower one of them")
        free = [other for other in earlier if other not in named]
        room, wanted = 1 - rate - fixed, sum(settled[other] for other in free)
        for other in free:
            settled[other] *= min(1.0, 0.98 * room / wanted)
    return settled


def draw_labels(num_images, seed=0, correlation=1.0, rates=None):
    """Labels of the faces 0 … num_images - 1; a face's labels do not depend on how many are drawn.

    Args:
        correlation: 0 (independent, save for what excludes what) … 1 (as in CelebA)
        rates: {attribute: share} that replace base rates
    Returns: (num_images, 40) uint8 of 0/1, columns as in `ATTRIBUTES`
    Raises: InputError as `check_rates`
    """
    settled = check_rates(rates)
    sample = np.random.default_rng(40).standard_normal((_CALIBRATION_ROWS, len(ATTRIBUTES)), dtype=np.float32)
    _, thresholds = _labels_from_deviates(sample, correlation, rates=settled, named=rates or {})
    deviates = np.empty((num_images, len(ATTRIBUTES)), dtype=np.float32)
    for index in range(num_images):
        np.random.default_rng([seed, index, 0]).standard_normal(out=deviates[index], dtype=np.float32)
    return _labels_from_deviates(deviates, correlation, thresholds=thresholds)[0]


def _labels_from_deviates(deviates, correlation, thresholds=None, rates=None, named=()):
    """Labels (N, 40) of normal deviates (N, 40); where `thresholds` is None they are set so that `rates` hold."""
    column = {name: number for number, name in enumerate(ATTRIBUTES)}
    labels = np.zeros(deviates.shape, dtype=np.uint8)
    found = {}
    for name in DRAWING_ORDER:
        score = deviates[:, column[name]].copy()
        for other, weight in MODEL[name][1].items():
            score += np.float32(correlation * weight) * (2.0 * labels[:, column[other]].astype(np.float32) - 1)
        excluders = [column[other] for other in _EARLIER_EXCLUDERS[name]]
        allowed = ~labels[:, excluders].any(axis=1)
        if thresholds is None:
            share = rates[name] / max(allowed.mean(), 1e-12)
            share = min(share, 1.0 if name in named or not excluders else _LARGEST_SHARE)
            found[name] = np.quantile(score[allowed], 1 - share) if allowed.any() else np.inf
        threshold = (thresholds or found)[name]
        labels[:, column[name]] = allowed & (score > threshold)
    return labels, thresholds or found
