"""The nets that a configuration can name as light net or booster. Does not import TensorFlow."""

# Classes of keras.applications.
KERAS_APPLICATIONS = (
    *(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
    *(f"DenseNet{depth}" for depth in (121, 169, 201)),
    *(f"EfficientNetB{size}" for size in range(8)),
    *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    *("MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large"),
    *(f"ResNet{depth}{version}" for version in ("", "V2") for depth in (50, 101, 152)),
    *("VGG16", "VGG19"),
)
# Blocks of each of the four stages of KerasCV's ResNetV2Backbone. KerasCV's own classes of these
# sizes download their configuration.
KERAS_CV = {"keras_cv/ResNet18V2": (2, 2, 2, 2), "keras_cv/ResNet34V2": (3, 4, 6, 3)}
BACKBONES = (*KERAS_APPLICATIONS, *KERAS_CV)

# Sizes of the images that applications were trained on, in pixels a side, if not 224.
_SIZES = {
    **dict(
        zip(
            (f"EfficientNetB{size}" for size in range(1, 8)),
            (240, 260, 300, 380, 456, 528, 600),
            strict=True,
        )
    ),
    **{"EfficientNetV2B1": 240, "EfficientNetV2B2": 260, "EfficientNetV2B3": 300},
    **{"EfficientNetV2S": 384, "EfficientNetV2M": 480, "EfficientNetV2L": 480},
}
# How an application's `preprocess_input` scales pixels from 0 to 255, by the first letters of its
# name: "tf", "caffe" or "torch" of `keras.applications.imagenet_utils`, or "inside" if the net's
# first layers do it. The longest match counts.
_PREPROCESSING = {
    "ConvNeXt": "inside",
    "DenseNet": "torch",
    "EfficientNet": "inside",
    "MobileNet": "tf",
    "MobileNetV3": "inside",
    "ResNet": "caffe",
    **{f"ResNet{depth}V2": "tf" for depth in (50, 101, 152)},
    "VGG": "caffe",
}


def image_size_of(name):
    """Height and width, in pixels, of the images that a net of keras.applications is made for.

    Example:
        >>> image_size_of("EfficientNetB1")
        240
    """
    return _SIZES.get(name, 224)


def preprocessing_of(name):
    """How pixels are scaled for a net of keras.applications.

    Args:
        name: one of `KERAS_APPLICATIONS`.

    Returns:
        "tf", "caffe" or "torch", modes of `keras.applications.imagenet_utils.preprocess_input`, or
        "inside" if the net's first layers do it.

    Example:
        >>> preprocessing_of("ResNet50"), preprocessing_of("ResNet50V2")
        ('caffe', 'tf')
    """
    return _PREPROCESSING[max(filter(name.startswith, _PREPROCESSING), key=len)]
