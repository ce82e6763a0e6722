"""The nets that a configuration can name as light net or booster; free of TensorFlow."""

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
