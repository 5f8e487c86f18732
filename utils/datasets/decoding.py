"""Image files read by Pillow, and work on threads: decoders and resizers work outside the interpreter's lock."""

from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from utils.common.errors import InputError

PIECE = 8  # images that a thread takes at a time


def load_rgb(path):
    """Decode an image file to a PIL image in RGB. Raises: InputError naming the file if it is damaged or gone."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"unreadable image {path} ({reason}): fetch it again, or delete it and pass --allow_missing"
        ) from None


def run_on_threads(step, count, workers, bar=None):
    """Call step(0) … step(count - 1) on threads and advance a tqdm bar; the first error ends the rest and is raised."""

    def run_piece(start):
        stop = min(start + PIECE, count)
        for index in range(start, stop):
            step(index)
        return stop - start

    with ThreadPoolExecutor(max(1, int(workers))) as pool:
        try:
            for done in pool.map(run_piece, range(0, count, PIECE)):
                if bar is not None:
                    bar.update(done)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # else everything that was queued is done before the error is seen
            raise
