"""Folders of images generated from a seed, for trying out large folders."""

import numpy as np
import pytest
from PIL import Image

from rocket_tf.commands import make_images
from rocket_tf.data.images import folder as image_folder
from rocket_tf.data.images import made_up


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.jpg")}


def test_the_command(tmp_path, capsys):
    folder = tmp_path / "new" / "big"
    numbers = ["--images=31", "--size=20", "--classes=3", "--quality=80", "--seed=7"]
    assert make_images.main([str(folder), *numbers]) == 0
    assert capsys.readouterr().out.startswith(f"{folder}: 31 training images")
    data = image_folder.read(folder, 20)
    assert data.class_names == ["class_0", "class_1", "class_2"]
    assert np.bincount(data.train[1]).tolist() == [11, 10, 10]
    assert data.test[1].tolist() == [0, 1, 2]
    assert [path.name for path in folder.parent.iterdir()] == ["big"]
    path = folder / "train" / "class_1" / "0000016.jpg"
    with Image.open(path) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (20, 20), "RGB")
    before = path.read_bytes()
    assert make_images.main([str(folder), "--seed=8"]) == 2
    assert capsys.readouterr().err == f"make_images: {folder}: exists already; name a new folder\n"
    assert path.read_bytes() == before


def test_the_seed_determines_the_bytes_and_a_larger_set_contains_a_smaller_one(tmp_path):
    for name, images, seed in (("a", 5, 0), ("b", 5, 0), ("c", 23, 0), ("d", 5, 1)):
        made_up.write(tmp_path / name, images, size=9, classes=2, seed=seed)
    first, again, larger, other = (contents(tmp_path / name) for name in "abcd")
    assert first == again and len(first) == 6 and len(larger) == 25
    assert first.items() <= larger.items()
    assert first.keys() == other.keys() and not first.items() & other.items()
    assert len(set(larger.values())) == 25


def test_classes_can_be_told_apart_but_not_by_their_mean_colour_alone(tmp_path):
    made_up.write(tmp_path / "a", 60, size=16, classes=4, test_images=40)
    data = image_folder.read(tmp_path / "a", 16)
    (train, labels), (test, expected) = ((x / 255.0, y) for x, y in (data.train, data.test))

    def nearest_mean(axes):
        means = np.stack([train[labels == label].mean((0, *axes)) for label in range(4)])
        distances = ((test.mean(axes)[:, None] - means) ** 2).reshape(40, 4, -1).sum(-1)
        return np.mean(distances.argmin(1) == expected)

    assert nearest_mean(axes=()) > 0.95 > nearest_mean(axes=(1, 2))


@pytest.mark.parametrize(
    "given, named",
    [
        ("--images=0", "--images: got 0, expected a whole number from 1"),
        ("--size=0", "--size: got 0"),
        ("--size=5001", "--size: got 5001, expected a whole number from 1 to 5000"),
        ("--classes=1", "--classes: got 1"),
        ("--quality=96", "--quality: got 96, expected a whole number from 1 to 95"),
        ("--seed=-1", "--seed: got -1"),
        ("--images=9", "--images: got 9 with --classes=10, expected at least"),
    ],
)
def test_bad_numbers(tmp_path, capsys, given, named):
    assert make_images.main([str(tmp_path / "big"), given]) == 2
    assert named in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_leaves_nothing(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    assert make_images.main([str(tmp_path / "file" / "big")]) == 2
    assert f"{tmp_path / 'file'} is a file" in capsys.readouterr().err

    def save(self, path, **options):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Image.Image, "save", save)
    assert make_images.main([str(tmp_path / "big"), "--images=12", "--size=8"]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
