"""What a training tells TensorBoard: curves, pictures of its images, and its settings beside what came out."""

import importlib
import importlib.util
import shutil

import torch

from utils.common import distributed
from utils.common.errors import InputError
from utils.datasets.dataset import denormalise

PICTURES = 16  # training images that are shown
FIGURES = ("accuracy", "auc", "balanced_accuracy", "tpr", "tnr")  # of each head, a curve each
EVENTS = "events.out.tfevents.*"


def check_installed(log):
    """Refuse `--log tensorboard` without the package. Raises: InputError"""
    if log and importlib.util.find_spec("tensorboard") is None:
        raise InputError("--log tensorboard needs tensorboard, not installed here: pip install tensorboard")


def events_folder(checkpoint):
    """Where the event files of a training go, that writes `checkpoint` (a pathlib.Path)."""
    return checkpoint.parent / "tensorboard" / checkpoint.stem


class TrainingLog:
    """Event files of one training, written by the first process at the end of each epoch.

    A training that goes on takes the place of the curves behind its first epoch. When one that starts anew has done its
    first epoch, it takes the place of all that is there. Event files carry times and the machine's name: they are the
    one output that is not the same for a seed.
    """

    def __init__(self, log, checkpoint, begun, settings, epochs):
        """Nothing is written yet, and without a `log` nothing ever is.

        Args:
            log: "tensorboard" or None; checkpoint: pathlib.Path of the network; begun: whole epochs that are done
            settings: {what decides the training: plain value}, its "seed" among them; epochs: that are asked for
        """
        self.folder, self._begun = events_folder(checkpoint), begun
        self._settings, self._epochs = settings, epochs
        self._active = bool(log) and begun < epochs and distributed.is_main()
        self._writer, self._pictures = None, []

    def show(self, data, augment):
        """Keep the first training images as the network will see them. Args: `ImageDataset`, of `train_epochs`"""
        if self._active and not self._begun:
            rows = data.rows("train")[:PICTURES]
            images = next(data.batches(rows, len(rows), "cpu"))[0]
            if augment is not None:
                images = augment(images, torch.Generator().manual_seed(self._settings["seed"]))
            self._pictures = denormalise(images, data.normalisation)

    def epoch(self, progress, figures):
        """Add an epoch to the curves; with the last one the settings and what they gave, and close.

        Args: progress: `Progress`; figures: {attribute: figures} on the images held out
        """
        if not self._active:
            return
        self._writer = self._writer or self._start()
        values = {f"training/accuracy/{name}": share for name, share in progress.accuracy.items()}
        values |= {"training/loss": progress.loss, "training/learning rate": progress.lr}
        values |= {"training/images a second": progress.images_per_second}
        for name, value in (values | _by_figure(figures)).items():
            self._writer.add_scalar(name, value, progress.epoch)
        self._writer.flush()
        if progress.epoch == self._epochs:
            self._end(figures)

    def _start(self):
        for path in () if self._begun else self.folder.glob(EVENTS):
            path.unlink()
        module = importlib.import_module("torch.utils.tensorboard")  # optional, and slow to import
        writer = module.SummaryWriter(str(self.folder), purge_step=self._begun + 1)
        for place, pixels in enumerate(self._pictures):
            writer.add_image(f"training images/{place:02}", pixels, 0, dataformats="HWC")
        return writer

    def _end(self, figures):
        shutil.rmtree(self.folder / "settings", ignore_errors=True)  # TensorBoard would show the first that it finds
        asked = {
            name: value if isinstance(value, (int, float)) else str(value) for name, value in self._settings.items()
        }
        self._writer.add_hparams(asked | {"epochs": self._epochs}, _by_figure(figures), run_name="settings")
        self._writer.close()
        print(f"look at the curves: tensorboard --logdir {self.folder.parent}")


def _by_figure(figures):
    """{"held out/auc/Bald": value} of {attribute: figures}, those without a value left out."""
    pairs = {f"held out/{figure}/{name}": row[figure] for figure in FIGURES for name, row in figures.items()}
    return {name: value for name, value in pairs.items() if value is not None}
