"""Makes a folder of any number of JPEG images from a seed, in bounded memory.

    rocket-tf make-images big --images=40000

Use it to try large data. To train on it, pass --config=configs/image_folder.py
--config.data_path=big. The test part has another tenth of the images.
"""

from rocket_tf.commands import Parser
from rocket_tf.data.images import made_up
from rocket_tf.errors import ConfigError
from rocket_tf.system.answering import answer
from rocket_tf.system.places import check_folder

# The limits of each number.
_RANGES = {
    "images": (1, 10**7),
    "size": (1, 5000),
    "classes": (2, 10_000),
    "quality": (1, 95),
    "seed": (0, 2**63),
}


def main(argv=None):
    """Writes the images; returns the process's exit code."""
    parser = Parser("make_images", __doc__)
    parser.add_argument("folder", help="a new folder, for train/<class>/ and test/<class>/")
    for name, default, meaning in (
        ("images", 4000, "of the training part"),
        ("size", 256, "height and width, in pixels"),
        ("classes", 10, "how many"),
        ("quality", 90, "of the JPEG files"),
        ("seed", 0, "the same seed gives the same images"),
    ):
        help_text = f"{meaning} (default: %(default)s)"
        parser.add_argument(f"--{name}", type=int, default=default, help=help_text)
    arguments = parser.parse_args(argv)
    return answer("make_images", lambda: _make(arguments))


def _make(arguments):
    for name, (minimum, maximum) in _RANGES.items():
        value = getattr(arguments, name)
        if not minimum <= value <= maximum:
            raise ConfigError(
                f"--{name}: got {value}, expected a whole number from {minimum} to {maximum}"
            )
    if arguments.images < arguments.classes:
        raise ConfigError(
            f"--images: got {arguments.images} with --classes={arguments.classes}, expected at "
            "least as many as classes"
        )
    check_folder("folder", arguments.folder)
    made_up.write(arguments.folder, *(getattr(arguments, name) for name in _RANGES))
    print(
        f"{arguments.folder}: {arguments.images} training images, and a tenth as many test images"
    )
