"""Image folders: labels, order, geometry and color modes; messages about damaged files."""

import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from rocket_tf.data import local_files
from rocket_tf.data.images import files as image_files
from rocket_tf.data.images import folder as image_folder
from rocket_tf.errors import DamagedDataError, DataUnavailableError

SIZE = 8
RANDOM = np.random.default_rng(0)


def picture(height=SIZE, width=SIZE, channels=3):
    """Random uint8 pixels."""
    pixels = RANDOM.integers(0, 256, (height, width, channels)).astype(np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def save(path, pixels, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def of_value(value):
    return np.full((SIZE, SIZE, 3), value, np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Cats with pixels of 1 to 4 and dogs with 11 to 13; the test images have 101 and 111."""
    for name, values in (("cat", (1, 2, 3, 4)), ("dog", (11, 12, 13))):
        for value in values:
            save(tmp_path / "train" / name / f"{value:02}.png", of_value(value))
        save(tmp_path / "test" / name / "a.png", of_value(100 + values[0]))
    return tmp_path


def read_one(path, size=SIZE):
    """The decoded image of a file."""
    images, reasons = image_files.decode([str(path)], size)
    assert reasons == [None]
    return images[0]


def resized_centre(pixels, size):
    """Resizes the whole image by float64 matrices of triangle weights, then crops."""
    shorter = min(pixels.shape[:2])
    result = pixels.astype(np.float64)
    for axis in (0, 1):
        old = pixels.shape[axis]
        new = round(old * size / shorter)
        scale = old / new
        centres = (np.arange(new) + 0.5) * scale - 0.5
        distance = np.abs(centres[:, None] - np.arange(old)) / max(scale, 1)
        weights = np.maximum(1 - distance, 0)
        weights /= weights.sum(1, keepdims=True)
        first = (new - size) // 2
        result = np.moveaxis(
            np.tensordot(weights[first : first + size], result, (1, axis)), 0, axis
        )
    return result


class TestWhatIsRead:
    def test_images_labels_and_names(self, folder):
        data = image_folder.read(folder, SIZE)
        (images, labels), (test_images, test_labels) = data.train, data.test
        assert images.shape == (7, SIZE, SIZE, 3) and images.dtype == np.uint8
        assert labels.dtype == test_labels.dtype == np.int64
        assert data.class_names == ["cat", "dog"] and data.skipped == []
        np.testing.assert_array_equal(labels, images[:, 0, 0, 0] > 10)
        np.testing.assert_array_equal(test_images[:, 0, 0, 0], [101, 111])
        np.testing.assert_array_equal(test_labels, [0, 1])

    def test_training_examples_are_sorted_and_then_permuted_with_seed_0(self, folder):
        images, _ = image_folder.read(str(folder), SIZE).train
        values = np.array([1, 2, 3, 4, 11, 12, 13])
        expected = values[np.random.default_rng(0).permutation(7)]
        np.testing.assert_array_equal(images[:, 0, 0, 0], expected)

    def test_first_training_examples_have_all_classes(self, tmp_path):
        for label in range(5):
            for number in range(20):
                save(tmp_path / "train" / f"{label}" / f"{number}.bmp", of_value(number))
            save(tmp_path / "test" / f"{label}" / "0.bmp", of_value(0))
        _, labels = image_folder.read(tmp_path, SIZE).train
        assert set(labels[:25]) == set(range(5))
        assert list(np.bincount(labels)) == [20] * 5

    def test_test_examples_are_in_the_order_of_relative_paths(self, folder):
        shutil.rmtree(folder / "test")
        for value, name in enumerate(["B.png", "a b/1.png", "a/2.png", "a/z/1.png", "a.png"]):
            save(folder / "test" / "cat" / name, of_value(value))
        images, _ = image_folder.read(folder, SIZE).test
        # Names are compared as strings: "B" < "a" < "a b" < "a.png".
        np.testing.assert_array_equal(images[:, 0, 0, 0], [0, 2, 3, 1, 4])

    @pytest.mark.parametrize("name", ["val", "validation"])
    def test_other_names_of_the_test_part(self, folder, name):
        (folder / "test").rename(folder / name)
        np.testing.assert_array_equal(image_folder.read(folder, SIZE).test[1], [0, 1])

    def test_test_comes_before_val(self, folder):
        save(folder / "val" / "dog" / "a.png", of_value(0))
        assert len(image_folder.read(folder, SIZE).test[1]) == 2

    def test_the_test_part_may_lack_a_class(self, folder):
        shutil.rmtree(folder / "test" / "cat")
        np.testing.assert_array_equal(image_folder.read(folder, SIZE).test[1], [1])

    def test_other_files_and_hidden_ones_are_ignored(self, folder):
        cats = folder / "train" / "cat"
        (cats / "Thumbs.db").write_text("no image")
        (cats / "._01.png").write_text("no image")
        (cats / ".cache").mkdir()
        (cats / ".cache" / "01.png").write_text("no image")
        (folder / "train" / ".ipynb_checkpoints").mkdir()
        (folder / "train" / "list.png").write_text("no image")
        data = image_folder.read(folder, SIZE)
        assert len(data.train[0]) == 7 and data.class_names == ["cat", "dog"]

    @pytest.mark.parametrize("suffix", [*image_files.SUFFIXES, ".JPG", ".Png"])
    def test_suffixes(self, folder, suffix):
        save(folder / "test" / "cat" / f"b{suffix}", of_value(50))
        images, labels = image_folder.read(folder, SIZE).test
        np.testing.assert_array_equal(labels, [0, 0, 1])
        np.testing.assert_allclose(images[1].astype(int), 50, atol=1)

    def test_many_files_read_in_threads_keep_their_labels(self, tmp_path):
        for value in range(200):
            name = "odd" if value % 2 else "even"
            save(tmp_path / "train" / name / f"{value}.bmp", of_value(value))
        save(tmp_path / "test" / "odd" / "1.bmp", of_value(1))
        images, labels = image_folder.read(tmp_path, SIZE).train
        np.testing.assert_array_equal(images[:, 0, 0, 0] % 2, labels)
        assert set(images[:, 0, 0, 0]) == set(range(200))


class TestGeometry:
    @pytest.mark.parametrize(
        "height, width, size",
        [(8, 8, 8), (40, 60, 8), (61, 37, 8), (5, 9, 8), (7, 40, 16), (300, 11, 8), (33, 32, 32)],
    )
    def test_equals_resizing_by_triangle_weights_then_cropping(self, tmp_path, height, width, size):
        pixels = picture(height, width)
        computed = read_one(save(tmp_path / "a.png", pixels), size)
        # Pillow rounds to whole values after each axis.
        np.testing.assert_allclose(computed, resized_centre(pixels, size), atol=1.1)

    @pytest.mark.parametrize("height, width", [(8, 13), (14, 8), (8, 8)])
    def test_pixels_of_images_whose_shorter_side_fits_do_not_change(self, tmp_path, height, width):
        pixels = picture(height, width)
        down, across = (height - 8) // 2, (width - 8) // 2
        np.testing.assert_array_equal(
            read_one(save(tmp_path / "a.png", pixels)), pixels[down : down + 8, across : across + 8]
        )

    def test_an_image_of_one_row_is_cropped_before_it_is_enlarged(self, tmp_path):
        pixels = np.zeros((1, 60_000, 3), np.uint8)  # resizing before cropping would need 40 GB
        pixels[0, 30_000] = 255
        assert read_one(save(tmp_path / "a.png", pixels), 512).max() == 255

    @pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation(self, tmp_path, orientation, suffix):
        upright = np.zeros((SIZE, SIZE, 3), np.uint8)
        upright[: SIZE // 2, : SIZE // 2] = 240  # the upper left quarter
        upright[: SIZE // 2, SIZE // 2 :] = 120  # the upper right one
        # Where the file's first row and first column lie in the upright image.
        stored = {
            1: upright,  # top, left
            2: upright[:, ::-1],  # top, right
            3: upright[::-1, ::-1],  # bottom, right
            4: upright[::-1],  # bottom, left
            5: upright.swapaxes(0, 1),  # left, top
            6: upright[:, ::-1].swapaxes(0, 1),  # right, top
            7: upright[::-1, ::-1].swapaxes(0, 1),  # right, bottom
            8: upright[::-1].swapaxes(0, 1),  # left, bottom
        }[orientation]
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"quality": 100} if suffix in ("jpg", "webp") else {}
        path = save(tmp_path / f"a.{suffix}", np.ascontiguousarray(stored), exif=exif, **options)
        difference = np.abs(read_one(path).astype(int) - upright)
        assert difference[1:3, 1:3].max() < 30 and difference[1:3, 5:7].max() < 30
        assert difference[5:7].max() < 30

    @pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
    @pytest.mark.parametrize(
        "content", [b"", b"MM", b"no EXIF here", b"MM\0*\0\0\0\x08", b"MM\0*\xff\0\0\0\0\1"]
    )
    def test_damaged_exif_is_ignored(self, tmp_path, content, suffix):
        path = save(tmp_path / f"a.{suffix}", of_value(77), exif=b"Exif\0\0" + content)
        np.testing.assert_allclose(read_one(path).astype(int), 77, atol=1)


class TestModes:
    def test_grey(self, tmp_path):
        pixels = picture(channels=1)
        computed = read_one(save(tmp_path / "a.png", pixels))
        np.testing.assert_array_equal(computed, np.repeat(pixels[..., None], 3, -1))

    def test_grey_with_transparency_and_colours_with_transparency(self, tmp_path):
        pixels = picture(channels=4)
        np.testing.assert_array_equal(read_one(save(tmp_path / "a.png", pixels)), pixels[..., :3])
        grey = Image.fromarray(pixels).convert("LA")
        grey.save(tmp_path / "b.png")
        expected = np.asarray(grey)[..., :1].repeat(3, -1)
        np.testing.assert_array_equal(read_one(tmp_path / "b.png"), expected)

    @pytest.mark.parametrize("suffix", ["gif", "png"])
    def test_palette(self, tmp_path, suffix):
        colours = picture(1, 16)[0]
        places = RANDOM.integers(0, 16, (SIZE, SIZE)).astype(np.uint8)
        image = Image.fromarray(places).convert("P")
        image.putpalette(colours.tobytes())
        image.save(tmp_path / f"a.{suffix}")
        np.testing.assert_array_equal(read_one(tmp_path / f"a.{suffix}"), colours[places])

    def test_palette_with_transparency(self, tmp_path):
        image = Image.fromarray(of_value(90)).quantize(4)
        image.save(tmp_path / "a.png", transparency=bytes([0, 255, 128, 3]))
        np.testing.assert_array_equal(read_one(tmp_path / "a.png"), of_value(90))

    def test_black_and_white(self, tmp_path):
        pixels = picture(channels=1) > 127
        computed = read_one(save(tmp_path / "a.png", pixels))
        np.testing.assert_array_equal(computed, 255 * pixels[..., None].repeat(3, -1))

    def test_cmyk_jpeg(self, tmp_path):
        inks = np.full((SIZE, SIZE, 4), (200, 30, 90, 40), np.uint8)
        path = tmp_path / "a.jpg"
        Image.fromarray(inks, "CMYK").save(path, quality=100)
        expected = [(255 - ink) * (255 - 40) / 255 for ink in (200, 30, 90)]
        np.testing.assert_allclose(read_one(path), np.broadcast_to(expected, (8, 8, 3)), atol=2)

    @pytest.mark.parametrize("suffix, dtype", [("png", "<u2"), ("tif", "<u2"), ("tif", ">u2")])
    def test_grey_of_16_bits_keeps_the_upper_8(self, tmp_path, suffix, dtype):
        pixels = RANDOM.integers(0, 2**16, (SIZE, SIZE)).astype(dtype)
        computed = read_one(save(tmp_path / f"a.{suffix}", pixels))
        np.testing.assert_array_equal(computed, (pixels >> 8)[..., None].repeat(3, -1))

    def test_grey_of_16_bits_is_rotated(self, tmp_path):
        pixels = RANDOM.integers(0, 2**16, (SIZE, SIZE)).astype(np.uint16)
        exif = Image.Exif()
        exif[0x0112] = 3
        computed = read_one(save(tmp_path / "a.png", pixels, exif=exif))
        np.testing.assert_array_equal(computed[..., 0], (pixels >> 8)[::-1, ::-1])

    def test_first_frame_of_an_animation(self, tmp_path):
        frames = [Image.fromarray(of_value(value)) for value in (40, 80)]
        frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
        np.testing.assert_array_equal(read_one(tmp_path / "a.gif"), of_value(40))


def truncated(path):
    buffer = io.BytesIO()
    Image.fromarray(picture(64, 64)).save(buffer, path.suffix[1:].replace("jpg", "jpeg"))
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])


def bomb(path):
    """A PNG that claims to have 20,000 by 20,000 pixels."""
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        size = (20_000).to_bytes(4, "big")
        PngImagePlugin.putchunk(file, b"IHDR", size, size, b"\x08\x02\0\0\0")
        PngImagePlugin.putchunk(file, b"IDAT", b"")


def postscript(path):
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")


def of_32_bits(path):
    Image.fromarray(np.zeros((SIZE, SIZE), np.float32)).save(path, "TIFF")


UNREADABLE = {
    "half a JPEG": ("x.jpg", truncated, "truncated"),
    "half a PNG": ("x.png", truncated, "truncated"),
    "zero bytes": ("x.jpg", lambda path: path.touch(), "empty"),
    "text": ("x.jpg", lambda path: path.write_text("no image, but text"), "no image"),
    "bomb": ("x.png", bomb, "decompression bomb"),
    "EPS": ("x.jpg", postscript, "no image"),
    "32 bits": ("x.tif", of_32_bits, "32 bits"),
    "dangling link": ("x.jpg", lambda path: path.symlink_to("nowhere"), "No such file"),
}


class TestUnreadableImages:
    @pytest.mark.parametrize("kind", UNREADABLE)
    def test_refuse_names_the_file_and_the_remedy(self, folder, kind):
        name, write, fragment = UNREADABLE[kind]
        path = folder / "train" / "dog" / name
        write(path)
        with pytest.raises(DamagedDataError) as error:
            image_folder.read(folder, SIZE)
        message = str(error.value)
        assert message.startswith(f"{folder}: 1 of 10 images cannot be read: {path}: "), message
        assert fragment in message and "config.unreadable_images=skip" in message
        assert len(message.splitlines()) == 1

    @pytest.mark.parametrize("kind", UNREADABLE)
    def test_skip_leaves_it_out_and_reports_it(self, folder, kind):
        name, write, fragment = UNREADABLE[kind]
        path = folder / "train" / "dog" / name
        write(path)
        lines = []
        data = image_folder.read(folder, SIZE, "skip", lines.append)
        (line,) = data.skipped
        assert line.startswith(f"{path}: ") and fragment in line
        assert lines == [
            f"{folder}: skipped 1 of 10 images, which cannot be read; the first: {line}"
        ]
        images, labels = data.train
        assert sorted(images[:, 3, 3, 1]) == [1, 2, 3, 4, 11, 12, 13]
        np.testing.assert_array_equal(labels, images[:, 0, 0, 0] > 10)
        np.testing.assert_array_equal(data.test[0][:, 0, 0, 0], [101, 111])

    def test_one_error_counts_all_and_names_five(self, folder):
        paths = [folder / "train" / "cat" / f"bad{number}.jpg" for number in range(6)]
        paths.append(folder / "test" / "cat" / "bad.jpg")
        for path in paths:
            path.touch()
        with pytest.raises(DamagedDataError) as error:
            image_folder.read(folder, SIZE)
        message = str(error.value)
        assert "7 of 16 images" in message and "; and 2 more. " in message
        named = [str(path) for path in paths if str(path) in message]
        assert len(named) == 5 and str(paths[-1]) in named

    def test_skip_of_several_in_both_parts(self, folder):
        for part in ("train", "test"):
            for name in ("00.png", "02x.png", "zz.png"):
                (folder / part / "cat" / name).touch()
        data = image_folder.read(folder, SIZE, "skip", lambda line: None)
        assert len(data.skipped) == 6 and data.skipped == sorted(data.skipped)
        assert sorted(data.train[0][:, 0, 0, 0]) == [1, 2, 3, 4, 11, 12, 13]
        np.testing.assert_array_equal(data.train[1], data.train[0][:, 0, 0, 0] > 10)
        np.testing.assert_array_equal(data.test[0][:, 0, 0, 0], [101, 111])
        np.testing.assert_array_equal(data.test[1], [0, 1])

    @pytest.mark.parametrize("part", ["train", "test"])
    def test_a_class_without_a_readable_image_is_an_error_with_skip_too(self, folder, part):
        files = list((folder / part / "dog").iterdir())
        for path in files:
            path.write_bytes(b"")
        with pytest.raises(DamagedDataError) as error:
            image_folder.read(folder, SIZE, "skip")
        expected = f"{folder / part / 'dog'}: none of its {len(files)} images can be read"
        assert str(error.value).startswith(expected)

    def test_readable_images_print_nothing(self, folder, capsys):
        image_folder.read(folder, SIZE, "skip")
        assert capsys.readouterr() == ("", "")

    def test_formats_that_serve_bytes_cannot_read_are_reported(self, folder):
        save(folder / "train" / "cat" / "z.webp", of_value(5))
        save(folder / "test" / "dog" / "z.TIF", of_value(6))
        (folder / "test" / "dog" / "y.tiff").touch()  # skipped, and not counted
        lines = []
        image_folder.read(folder, SIZE, "skip", lines.append)
        assert lines[1] == (
            f"{folder}: 2 of 12 images are .tif, .webp; an export's serve_bytes reads "
            "only .jpg, .jpeg, .png, .bmp, .gif"
        )

    def test_names_that_are_not_unicode(self, folder, capsys):
        name = os.fsdecode(b"\xff.png")
        try:
            (folder / "train" / "cat" / name).touch()
        except OSError:
            pytest.skip("this file system has Unicode names alone")
        image_folder.read(folder, SIZE, "skip")
        assert r"\xff.png: empty" in capsys.readouterr().out

    def test_an_unknown_setting(self, folder):
        with pytest.raises(ValueError, match=r'"refuse" or "skip"\. Received: .ignore'):
            image_folder.read(folder, SIZE, "ignore")


class TestFolders:
    def assert_unavailable(self, path, *fragment):
        with pytest.raises(DataUnavailableError) as error:
            image_folder.read(path, SIZE)
        message = str(error.value)
        for text in fragment:
            assert text in message, message
        assert len(message.splitlines()) == 1
        return message

    def layout(self, path):
        return f"expected {path}/train/<class>/<image> and {path}/test/<class>/<image>"

    def test_missing(self, tmp_path):
        path = tmp_path / "nowhere"
        self.assert_unavailable(path, f"{path}: no such folder", self.layout(path))

    @pytest.mark.parametrize(
        "part, fragment", [("train", "no folder train;"), ("test", "no folder test, val or")]
    )
    def test_without_a_part(self, folder, part, fragment):
        shutil.rmtree(folder / part)
        self.assert_unavailable(folder, fragment, self.layout(folder))

    def test_without_classes(self, folder):
        shutil.rmtree(folder / "train")
        save(folder / "train" / "a.png", of_value(0))
        fragment = f"{folder / 'train'}: has no class folders"
        self.assert_unavailable(folder, fragment, self.layout(folder))

    def test_a_class_that_train_lacks(self, folder):
        save(folder / "test" / "bird" / "a.png", of_value(0))
        self.assert_unavailable(folder, f"{folder / 'test'}: has the class 'bird'")

    def test_a_class_without_images(self, folder):
        (folder / "train" / "bird").mkdir()
        (folder / "train" / "bird" / "notes.txt").touch()
        self.assert_unavailable(folder, f"{folder / 'train' / 'bird'}: has no images (.jpg ")

    def test_a_test_part_without_images(self, folder):
        for path in (folder / "test").glob("*/*"):
            path.unlink()
        self.assert_unavailable(folder, f"{folder / 'test'}: has no images")

    def test_a_class_whose_name_has_two_lines(self, folder):
        (folder / "train" / "cat").rename(folder / "train" / "c\nat")
        (folder / "test" / "cat").rename(folder / "test" / "c\nat")
        self.assert_unavailable(folder, r"'c\nat' cannot name a class")

    def test_a_folder_without_permission(self, folder, monkeypatch):
        def walk(top, onerror):
            onerror(PermissionError(13, "Permission denied", str(top)))

        monkeypatch.setattr(image_folder.os, "walk", walk)
        self.assert_unavailable(folder, f"{folder / 'train' / 'cat'}: Permission denied")

    def test_more_than_fits_into_memory(self, folder, monkeypatch):
        monkeypatch.setattr(local_files, "_available_memory", lambda: 2**30)
        with pytest.raises(DataUnavailableError) as error:
            image_folder.read(folder, 20_000)
        message = str(error.value)
        # There are 9 images of 20,000 by 20,000 pixels with 3 bytes each.
        assert f"9 images of 20000 by 20000 pixels need {9 * 1.2e9 / 2**30:.2f} GiB" in message
        assert "1.00 GiB are available; lower config.image_size" in message

    def test_available_memory_is_at_most_that_of_the_machine(self):
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        assert 0 < local_files._available_memory() <= machine


@pytest.mark.parametrize(
    "terminal, count, shown", [(True, 501, True), (True, 500, False), (False, 501, False)]
)
def test_progress_is_shown_on_a_terminal_for_many_images(
    tmp_path, monkeypatch, terminal, count, shown
):
    class Terminal(io.StringIO):
        def isatty(self):
            return terminal

    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    path = save(tmp_path / "a.bmp", of_value(7))
    images, _ = image_files.decode([path] * count, SIZE)
    assert (f"{count}/{count}" in stream.getvalue()) == shown
    assert (images == 7).all()
