"""KerasCV's augmentations: RandAugment, MixUp, CutMix. The only file that knows KerasCV.

KerasCV draws from generators that keep state, and MixUp and CutMix mix the examples of a batch.
So these augmentations do not depend on (seed, epoch, example) alone: a resumed run draws other
numbers than an uninterrupted one, and replicas mix among their own examples.
"""

import tensorflow as tf


def make_augmentation(rand_augment=0.0, mixup=0.0, cutmix=0.0, seed=0):
    """A function that augments a batch, or `None` when all is off.

    Args:
        rand_augment: magnitude of RandAugment in [0, 1]; 0: off.
        mixup: alpha of MixUp; 0: off.
        cutmix: alpha of CutMix in [0, 1]; 0: off; not with MixUp.
        seed: seed of the generators.

    Returns:
        `f(images, labels) -> (images, labels)`: images 0 to 255, shape (batch, height, width, 3),
        float32 afterwards; labels one-hot, float32, shape (batch, classes) where they are mixed,
        and soft afterwards; any labels where they are not.
    """
    if not (rand_augment or mixup or cutmix):
        return None
    import keras_cv  # slow to import, and of use to few runs

    # Some of its layers draw from the global generator, which has no seed of its own.
    tf.random.set_global_generator(tf.random.Generator.from_seed(seed))
    randomize = mix = None
    if rand_augment:
        randomize = keras_cv.layers.RandAugment((0, 255), magnitude=rand_augment, seed=seed)
    if mixup:
        mix = keras_cv.layers.MixUp(alpha=mixup, seed=seed)
    if cutmix:
        mix = keras_cv.layers.CutMix(alpha=cutmix, seed=seed)

    def augment(images, labels):
        images = tf.cast(images, tf.float32)
        if randomize is not None:
            images = randomize(images, training=True)
        if mix is not None:
            batch = mix({"images": images, "labels": labels}, training=True)
            images, labels = batch["images"], batch["labels"]
        return images, labels

    return augment
