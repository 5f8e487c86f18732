"""What several attacks need to fit a classifier: standardised features, threads, whether there is enough to fit."""

import functools

import numpy as np
from sklearn.preprocessing import StandardScaler
from threadpoolctl import ThreadpoolController


@functools.cache
def _libraries():
    return ThreadpoolController()  # made when first used: by then every library is loaded


def one_thread():
    """Context that keeps numpy's algebra to one thread: fits this small lose most of their time in waking others."""
    return _libraries().limit(limits=1, user_api="blas")


def standardised(train, *others):
    """`train` and `others` (N, D) shifted and scaled by the mean and deviation of `train`, as float32."""
    scaler = StandardScaler().fit(np.asarray(train, dtype=np.float64))  # sums of many images want the digits
    return [scaler.transform(np.asarray(v, dtype=np.float64)).astype(np.float32) for v in (train, *others)]


def rarer_class(labels):
    """How many of (N,) labels 0/1 belong to the rarer class."""
    return int(min(np.bincount(np.asarray(labels).astype(int), minlength=2)))
