"""KerasCV's augmentations: RandAugment, MixUp, CutMix. The only file that knows KerasCV.

KerasCV draws from generators with state, and MixUp and CutMix mix the examples of a batch. So these
augmentations depend on more than (seed, epoch, example): a resumed run draws different numbers than
an uninterrupted one, and each replica mixes its own examples.
"""

import tensorflow as tf


def make_augmentation(rand_augment=0.0, mixup=0.0, cutmix=0.0, seed=0):
    """Makes a function that augments a batch, or `None` if every augmentation is off.

    Args:
        rand_augment: magnitude of RandAugment in [0, 1]; 0: off.
        mixup: alpha of MixUp; 0: off.
        cutmix: alpha of CutMix in [0, 1]; 0: off; not with MixUp.
        seed: seed of the generators.

    Returns:
        `f(images, labels) -> (images, labels)`: images 0 to 255, shape (batch, height, width, 3),
        float32 in the result. If labels are mixed, they are one-hot, float32, shape (batch,
        classes), and soft in the result; otherwise they may be any labels.
    """
    if not (rand_augment or mixup or cutmix):
        return None
    import keras_cv  # slow to import, and few runs need it

    # Some of its layers draw from the global generator, which must be seeded separately.
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
