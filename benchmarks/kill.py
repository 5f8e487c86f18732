"""Steps 1 to 3 and the image cache killed at random moments, or out of disk: the same command again makes good.

Each run is a fork of this process, which has everything imported, so that the moments (even over the time of a whole
run) fall into the work. After the kill (SIGKILL) no file may be half there under its final name; then the same command
runs again, step 1 with --resume, and must leave what an undisturbed run leaves, bit for bit, and no temporary file.
A disk of random size, a tmpfs where mounting is permitted, else a limit on the size of files (RLIMIT_FSIZE), must end a
step with one line, exit code 2, and the same afterwards; an image cache is left out, and made when there is space.

Reads   nothing: the faces are drawn   Writes  a JSON line to --out for each kind of work and of harm

    python -m benchmarks.kill
"""

import importlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import torch

from data.make_synthetic_celeba import make_dataset
from utils.common import arguments, run
from utils.common.errors import InputError
from utils.datasets.dataset import open_dataset
from utils.network.checkpoint import load_checkpoint, load_tensors_or_none

SCRIPT, TASK, MODEL = "unlearning_multi_celeba_resnet18", ["Bald", "Eyeglasses"], "shufflenet_v2_x0_5"
SHARED = ["--task", *TASK, "--device", "cpu"]
STEPS = {
    "step 1": ("original", ["--model", MODEL, "--img_size", 32, "--epoch", 2, "--batch_size", 8]),
    "step 2": ("generate_graph", ["--num_images", 4, "--batch_size", 4]),
    "step 3": ("unlearning", []),
}
"""
