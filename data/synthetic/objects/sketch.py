"""Shapes of one object in units of its own, and the layer of pixels that they become.

An object is about 100 units large; x runs to the right, y down, and it stands on (0, 0).
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from data.synthetic.shapes import ellipse, mix

FINE = 3  # drawn this many times larger, then averaged down
RELIEF, RAMP = 0.55, 0.16  # how strongly the light models the edges, and the whole


@dataclass(frozen=True)
class Layer:
    """An object as pixels: `pixels` (h, w, 4) float32, RGB 0 … 255 and coverage 0 … 1, its corner at (left, top)."""

    pixels: np.ndarray
    left: int
    top: int


class Sketch:
    """Shapes, the later over the earlier; `rng` makes the choices of who draws into it."""

    def __init__(self, rng):
        self.rng = rng
        self.shapes = []  # (points (N, 2), colour, width of a line or None)

    def fill(self, points, colour):
        """A polygon."""
        self.shapes.append((np.asarray(points, dtype=float), colour, None))

    def line(self, points, colour, width=1.5):
        """An open line."""
        self.shapes.append((np.asarray(points, dtype=float), colour, width))

    def blob(self, points, colour):
        """A closed smooth outline through points (N, 2): a Catmull-Rom spline."""
        p1 = np.asarray(points, dtype=float)[:, None]
        p0, p2, p3 = (np.roll(p1, shift, axis=0) for shift in (1, -1, -2))
        t = np.linspace(0, 1, 6, endpoint=False)[None, :, None]
        spline = 2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
        self.fill(spline.reshape(-1, 2) / 2, colour)

    def oval(self, x, y, radius_x, radius_y, colour, tilt=0.0):
        """An ellipse round (x, y), turned by `tilt` radians."""
        points = ellipse(0, 0, radius_x, radius_y)
        self.fill((turned(points, tilt) if tilt else points) + (x, y), colour)

    def limb(self, points, widths, colour):
        """A line with round joints whose width goes through `widths`, one for each point."""
        points = np.asarray(points, dtype=float)
        for start, end, width, next_width in zip(points, points[1:], widths, widths[1:], strict=False):
            across = np.array([start[1] - end[1], end[0] - start[0]])
            across = across / max(np.hypot(*across), 1e-6) / 2
            corners = [start + across * width, end + across * next_width, end - across * next_width]
            self.fill([*corners, start - across * width], colour)
        for (x, y), width in zip(points, widths, strict=True):
            self.oval(x, y, width / 2, width / 2, colour)

    def ring(self, x, y, radius, colour, width):
        """A circle as a line."""
        points = ellipse(x, y, radius, radius, 28)
        self.line([*points, *points[:2]], colour, width)

    def bounds(self):
        """(left, top, right, bottom) of all shapes in units."""
        points = np.concatenate([points for points, _, _ in self.shapes])
        return (*points.min(axis=0), *points.max(axis=0))

    def render(self, foot, scale, mirror, tilt, light):
        """The object with its foot at the pixel `foot` (x, y), `scale` pixels a unit.

        Args: mirror: 1 or -1; tilt: radians; light: unit vector (2,) to where the light comes from
        Returns: Layer
        """
        every = np.concatenate([points for points, _, _ in self.shapes])
        every = turned(every * (mirror, 1), tilt) * scale + foot
        left, top = np.floor(every.min(axis=0)).astype(int) - 2
        right, bottom = np.ceil(every.max(axis=0)).astype(int) + 2
        image = Image.new("RGBA", (int(right - left) * FINE, int(bottom - top) * FINE))
        pen = ImageDraw.Draw(image)
        fine = ((every - (left, top)) * FINE).ravel().tolist()
        end = 0
        for points, colour, width in self.shapes:
            flat, end = fine[end : end + points.size], end + points.size
            if width is None:
                pen.polygon(flat, fill=(*colour, 255))
            else:
                pen.line(flat, fill=(*colour, 255), width=max(2, round(width * scale * FINE)), joint="curve")
        return Layer(_lit(image.reduce(FINE), light), int(left), int(top))


def _lit(image, light):
    """Pixels (h, w, 4) of an RGBA image under a light: edges that face it are brighter, and so is its whole side."""
    pixels = np.asarray(image, dtype=np.float32)
    coverage = image.getchannel("A")
    soft = np.asarray(coverage.filter(ImageFilter.GaussianBlur(1.5 + max(image.size) / 28)), dtype=np.float32) / 255
    slope_y, slope_x = np.gradient(soft)
    slope = -(slope_x * light[0] + slope_y * light[1])
    across = np.linspace(-1, 1, image.width, dtype=np.float32) * light[0]
    down = np.linspace(-1, 1, image.height, dtype=np.float32)[:, None] * light[1]
    shade = 1 + RELIEF * slope * min(8, max(image.size) / 6) * 0.5 + RAMP * (across + down)
    colours = np.clip(pixels[..., :3] * np.clip(shade, 0.45, 1.4)[..., None], 0, 255)
    return np.concatenate([colours, pixels[..., 3:] / 255], axis=2, dtype=np.float32)


def turned(points, angle):
    """Points (N, 2) turned by `angle` radians round (0, 0), clockwise on the screen."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.asarray(points, dtype=float) @ np.array([[cosine, sine], [-sine, cosine]])


def pick(rng, colours, spread=12):
    """One of some colours, each channel shifted by at most `spread`."""
    colour = np.asarray(colours[rng.integers(len(colours))]) + rng.uniform(-spread, spread, 3)
    return tuple(int(value) for value in np.clip(colour, 0, 255))


def darker(colour, share=0.25):
    """The colour in shadow."""
    return mix(colour, (12, 12, 24), share)


def lighter(colour, share=0.35):
    """The colour in light."""
    return mix(colour, (255, 255, 255), share)
