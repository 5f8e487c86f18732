"""What a training tells TensorBoard: curves, pictures of its images, and its settings beside what came out."""

import importlib
import importlib.util
from dataclasses import asdict

import torch

from utils.common import distributed
from utils.common.errors import InputError
from utils.datasets.dataset import denormalise

PICTURES = 16  # training images that are shown
FIGURES = ("accuracy", "auc", "balanced_accuracy", "tpr", "tnr")  # of each head, a curve each


def check_installed(log):
    """Refuse `--log tensorboard` without the package. Raises: InputError"""
    if log and importlib.util.find_spec("tensorboard") is None:
        raise InputError("--log tensorboard needs tensorboard, not installed here: pip install tensorboard")


class TrainingLog:
    """Event files of one training in the folder `tensorboard/<network>` beside its checkpoint.

    A training that goes on, or starts anew, in the same folder takes the place of the curves from its first epoch on.
    Event files carry times and the machine's name, so they are the one output that is not the same for a seed.
    """

    def __init__(self, log, checkpoint, state, settings):
        """Open the folder on the first process; without a `log` nothing is written.

        Args:
            log: "tensorboard" or None; checkpoint: pathlib.Path of the network
            state: that a training goes on from, or None; settings: `TrainingSettings`
        """
        self.folder, self._settings, self._writer = checkpoint.parent / "tensorboard" / checkpoint.stem, settings, None
        begun = state["epoch"] if state else 0
        if log and begun < settings.epochs and distributed.is_main():
            writers = importlib.import_module("torch.utils.tensorboard")  # optional, and slow to import
            self._writer = writers.SummaryWriter(str(self.folder), purge_step=begun + 1)

    def begin(self, data, augment, device):
        """Show the first training images as the network sees them.

        Args: data: `ImageDataset`; augment: as of `train_epochs`
        Returns: itself
        """
        if self._writer:
            rows = data.rows("train")[:PICTURES]
            images = next(data.batches(rows, len(rows), device))[0]
            if augment is not None:
                images = augment(images, torch.Generator().manual_seed(self._settings.seed))
            for place, pixels in enumerate(denormalise(images, data.normalisation)):
                self._writer.add_image(f"training images/{place:02}", pixels, 0, dataformats="HWC")
        return self

    def epoch(self, progress, figures):
        """Add an epoch to the curves; with the last one the settings and what they gave, and close.

        Args: progress: `Progress`; figures: {attribute: figures} on the images held out
        Returns: the figures
        """
        if self._writer:
            values = {f"training/accuracy/{name}": share for name, share in progress.accuracy.items()}
            values |= {"training/loss": progress.loss, "training/learning rate": progress.lr}
            values |= {"training/images a second": progress.images_per_second}
            for name, value in (values | _by_figure(figures)).items():
                self._writer.add_scalar(name, value, progress.epoch)
            self._writer.flush()
            if progress.epoch == self._settings.epochs:
                self._end(figures)
        return figures

    def _end(self, figures):
        asked = {name: "none" if value is None else value for name, value in asdict(self._settings).items()}
        given = {f"last/{name}": value for name, value in _by_figure(figures).items()}
        self._writer.add_hparams(asked, given, run_name=".")
        self._writer.close()
        print(f"look at the curves: tensorboard --logdir {self.folder.parent}")


def _by_figure(figures):
    """{"held out/auc/Bald": value} of {attribute: figures}, those without a value left out."""
    pairs = {f"held out/{figure}/{name}": row[figure] for figure in FIGURES for name, row in figures.items()}
    return {name: value for name, value in pairs.items() if value is not None}
