"""What one generated face looks like before it is drawn: colours, shape of the head, length of the hair."""

from dataclasses import dataclass

import numpy as np

from data.synthetic.shapes import mix

SKINS = ((136, 92, 68), (176, 123, 92), (205, 155, 120), (232, 190, 160))  # from dark to light
PALE = (252, 236, 228)
HAIRS = {
    "Black_Hair": (22, 20, 24),
    "Brown_Hair": (86, 50, 26),
    "Blond_Hair": (222, 190, 112),
    "Gray_Hair": (172, 174, 178),
}
RED_HAIRS = ((176, 66, 28), (140, 34, 26))  # worn where no attribute names the colour
IRISES = ((92, 58, 34), (60, 110, 160), (80, 125, 80), (60, 45, 35))
CLEAR_COLOURS = (
    (178, 34, 52),
    (24, 70, 150),
    (18, 120, 90),
    (120, 40, 130),
    (235, 235, 235),
    (40, 42, 50),
    (225, 150, 30),
)


@dataclass(frozen=True)
class Look:
    """Colours are RGB tuples; lengths are head units (the eyes lie at y = 0, 19 to either side)."""

    on: frozenset  # names of the attributes that are on
    skin: tuple
    deep: tuple  # the skin in shadow, for lines on the face
    hair: tuple
    beard: tuple  # of brows and facial hair
    iris: tuple
    width: float  # half of the head
    chin: float  # y of its lowest point
    jaw: float  # exponent of the lower half's outline: 2 an ellipse, more is squarer
    hair_end: float  # y where the hair at the sides ends
    skew: float  # 0 for an even face, else the side (-1 or 1) that hangs

    def outline(self, factor=1.0, start=0.0, end=1.0, count=48):
        """Points (count, 2) of the head's outline: `start` to `end` of a turn from the right ear over the chin."""
        turn = 2 * np.pi * np.linspace(start, end, count)
        cosine, sine = np.cos(turn), np.sin(turn)
        power = np.where(sine > 0, 2 / self.jaw, 1.0)
        x = self.width * np.sign(cosine) * np.abs(cosine) ** power
        y = np.where(sine > 0, self.chin * np.abs(sine) ** power, 60 * sine)
        low = np.clip(y / self.chin, 0, 1)
        cheeks = 9 * np.sin(np.pi * low) * ("Chubby" in self.on)
        taper = 1 - (0.05 if "Male" in self.on else 0.2) * low**2
        return np.stack([(x * taper + np.sign(x) * cheeks) * factor, y * factor], axis=1)


def choose_look(on, rng):
    """Draw the look of a face whose attributes `on` are on."""
    tone, share, lean = rng.uniform(0, len(SKINS) - 1), rng.random(), rng.normal(0, 7, 3)  # drawn whatever is on
    skin = mix(SKINS[int(tone)], SKINS[int(tone) + 1], tone % 1) if "Pale_Skin" not in on else PALE
    named = [colour for name, colour in HAIRS.items() if name in on]
    hair = named[0] if named else mix(*RED_HAIRS, share)
    if "Bald" in on:  # nothing names the colour of brows and beard
        hair = mix((25, 20, 18), (150, 100, 60), share)
    hair = tuple(int(np.clip(value + shift, 0, 255)) for value, shift in zip(hair, lean, strict=True))
    lengths = np.array([0.78, 0.14, 0.08] if "Male" in on else [0.12, 0.33, 0.55])
    ends = ((2, 14), (40, 62), (85, 125))[rng.choice(3, p=lengths)]
    side = float(rng.choice((-1, 1)))
    oval, male = "Oval_Face" in on, "Male" in on
    return Look(
        on=frozenset(on),
        skin=skin,
        deep=mix(skin, (70, 25, 20), 0.5),
        hair=hair,
        beard=mix(hair, (35, 26, 22), 0.62) if "Gray_Hair" not in on else mix(hair, (35, 30, 30), 0.45),
        iris=IRISES[rng.integers(len(IRISES))],
        width=(35 if oval else 40) + rng.uniform(-1, 1) + 4 * ("Chubby" in on),
        chin=(67 if oval else 60) + rng.uniform(-1.5, 1.5),
        jaw=(1.9 if oval else 2.3) + (0.8 if male else 0.0),
        hair_end=rng.uniform(*ends),
        skew=0.0 if "Attractive" in on else side,
    )
