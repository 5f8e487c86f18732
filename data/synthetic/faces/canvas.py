"""The drawing board of a generated face: pose, sharp and soft shapes, background, light, noise. Knows no attribute.

Shapes are in head units: x to the right, y down, (0, 0) between the eyes, the eyes at (±19, 0), chin near (0, 62).
"""

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

WIDTH, HEIGHT = 178, 218  # as CelebA's aligned faces
FINE = 2  # drawn this many times larger, then averaged down
NEUTRAL = 128  # of the soft layer: leaves the colour below as it is


class Canvas:
    """A picture under way: `fill` and `line` draw sharply, `soft` into a layer that `melt` blurs and lights in."""

    def __init__(self, rng):
        """Choose the pose and paint the background."""
        self.rng = rng
        self.hair = None  # a texture, kept from the back of the head for its front
        self.size = (WIDTH * FINE, HEIGHT * FINE)
        self.centre = np.array([WIDTH / 2 + rng.uniform(-5, 5), 101 + rng.uniform(-5, 5)])
        self.scale = rng.uniform(0.9, 1.02)
        self.roll = np.clip(rng.normal(0, 0.07), -0.17, 0.17)
        self.turn = np.array([np.clip(rng.normal(0, 2.6), -6, 6), np.clip(rng.normal(0, 1.6), -4, 4)])
        self.upright = False  # True while the body is drawn, which does not roll with the head
        self.image = _background(rng, self.size)
        self.draw = ImageDraw.Draw(self.image)
        self._new_soft_layer()

    def _new_soft_layer(self):
        self.soft_layer = Image.new("RGB", (WIDTH, HEIGHT), (NEUTRAL,) * 3)
        self.soft_draw = ImageDraw.Draw(self.soft_layer)

    def pixels(self, points, depth=0.0, fine=FINE):
        """Pixel coordinates [x0, y0, x1, …] of points (N, 2); `depth` (nose 1, ears 0): how far the turn moves them."""
        moved = np.asarray(points, dtype=float) + self.turn * depth
        angle = 0.0 if self.upright else self.roll
        cosine, sine = np.cos(angle) * self.scale, np.sin(angle) * self.scale
        x = self.centre[0] + cosine * moved[:, 0] - sine * moved[:, 1]
        y = self.centre[1] + sine * moved[:, 0] + cosine * moved[:, 1]
        return (np.stack([x, y], axis=1) * fine).ravel().tolist()

    def fill(self, points, colour, depth=0.0):
        """Fill a polygon."""
        self.draw.polygon(self.pixels(points, depth), fill=colour)

    def line(self, points, colour, width=1.0, depth=0.0):
        """Draw an open line, `width` in head units."""
        self.draw.line(self.pixels(points, depth), fill=colour, width=max(1, round(width * FINE * self.scale)))

    def soft(self, points, colour, depth=0.0):
        """Fill a polygon of the soft layer: above `NEUTRAL` brightens, below darkens, each colour on its own."""
        self.soft_draw.polygon(self.pixels(points, depth, fine=1), fill=colour)

    def soft_line(self, points, colour, width=1.0, depth=0.0):
        """Draw a line into the soft layer."""
        self.soft_draw.line(self.pixels(points, depth, fine=1), fill=colour, width=max(1, round(width * self.scale)))

    def melt(self, radius):
        """Blur the soft layer by `radius` pixels, light the picture with it and begin a new one."""
        layer = self.soft_layer.filter(ImageFilter.GaussianBlur(radius)).resize(self.size, Image.Resampling.BILINEAR)
        self.image = ImageChops.hard_light(self.image, layer)
        self.draw = ImageDraw.Draw(self.image)
        self._new_soft_layer()

    def paste_texture(self, texture, polygons):
        """Show `texture` (as large as the picture) inside the union of `polygons`."""
        mask = Image.new("L", self.size, 0)
        pen = ImageDraw.Draw(mask)
        for points in polygons:
            pen.polygon(self.pixels(points), fill=255)
        self.image.paste(texture, (0, 0), mask)

    def finish(self, rng, blur):
        """The picture at its final size (178, 218), blurred by `blur` pixels, under a random light and with noise."""
        image = self.image.reduce(FINE)
        if blur > 0:
            image = image.filter(ImageFilter.GaussianBlur(blur))
        direction = rng.uniform(0, 2 * np.pi)
        across = np.linspace(-1, 1, WIDTH, dtype=np.float32) * np.float32(np.cos(direction))
        down = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None] * np.float32(np.sin(direction))
        light = rng.uniform(0.86, 1.1) + rng.uniform(0, 0.2) * (across + down)
        warmth = 1 + rng.uniform(-0.06, 0.06) * np.array([1, 0, -1], dtype=np.float32)
        picture = np.asarray(image, dtype=np.float32) * light[:, :, None].astype(np.float32) * warmth.astype(np.float32)
        noise = rng.standard_normal((HEIGHT, WIDTH, 1), dtype=np.float32) * np.float32(rng.uniform(1, 7))
        return Image.fromarray(np.clip(picture + noise, 0, 255).astype(np.uint8))


def _background(rng, size):
    """A blurred backdrop: a gradient between two colours with some shapes, drawn small and enlarged."""
    small = (23, 28)
    first, second = _muted(rng), _muted(rng)
    along = np.linspace(0, 1, small[1])[:, None, None] * rng.uniform(-1, 1)
    along = along + np.linspace(0, 1, small[0])[None, :, None] * rng.uniform(-1, 1)
    along = (along - along.min()) / max(np.ptp(along), 1e-6)
    image = Image.fromarray((first + (second - first) * along).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(0, 9)):
        x, y, width, height = rng.integers(-4, small[0]), rng.integers(-4, small[1]), *rng.integers(2, 14, 2)
        box = [int(x), int(y), int(x + width), int(y + height)]
        colour = tuple(int(value) for value in _muted(rng))
        (pen.rectangle if rng.random() < 0.5 else pen.ellipse)(box, fill=colour)
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.2))).resize(size, Image.Resampling.BILINEAR)


def _muted(rng):
    """A random colour between grey and full."""
    colour = rng.uniform(10, 245, 3)
    return colour + (colour.mean() - colour) * rng.uniform(0.1, 0.95)
