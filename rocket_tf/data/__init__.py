"""Data sets, their sources, and the batches that training takes from them.

A *data set* is opened once, by `open_data`, and then passed on. It has

- a *card*: its facts, a `catalog.DatasetCard`: images or clicks, classes, shapes, columns, the
  number of examples. It is used to build nets and to check configurations.
- a *fingerprint*, such as a checksum, that identifies your own data; `None` for data that is the
  same everywhere. A run keeps it and does not resume on other data.
- three *splits*, `train`, `validation` and `test`: sources of batches (`interface.Split`), in
  memory (`in_memory.ArraySplit`) or not.

An *example* is an image or an impression with its label; a *batch* is the examples of one step.

TensorFlow is imported only when a split makes batches, so mistakes in a configuration are reported
before it loads.
"""

from typing import TYPE_CHECKING

from rocket_tf.system.lazy import lazy_names

_DEFINED_IN = {
    "ArraySplit": "rocket_tf.data.in_memory",
    "DataSet": "rocket_tf.data.interface",
    "DatasetCard": "rocket_tf.data.catalog",
    "Split": "rocket_tf.data.interface",
    "click_dataset": "rocket_tf.data.for_fit",
    "image_dataset": "rocket_tf.data.for_fit",
    "open_data": "rocket_tf.data.opening",
}
__all__ = list(_DEFINED_IN)
if TYPE_CHECKING:  # what the lazy names are
    from rocket_tf.data.catalog import DatasetCard as DatasetCard
    from rocket_tf.data.for_fit import click_dataset as click_dataset
    from rocket_tf.data.for_fit import image_dataset as image_dataset
    from rocket_tf.data.in_memory import ArraySplit as ArraySplit
    from rocket_tf.data.interface import DataSet as DataSet
    from rocket_tf.data.interface import Split as Split
    from rocket_tf.data.opening import open_data as open_data
else:
    __getattr__, __dir__ = lazy_names(__name__, _DEFINED_IN)
