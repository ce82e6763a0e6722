"""The EXIF orientation of image files. It does not import TensorFlow.

It does not use Pillow, since an export does the same in TensorFlow's operations
(`rocket_tf.serving.image_decoding`), and Pillow also reads other places, such as XMP.
"""

UPRIGHT = 1
ORIENTATION, SHORT = 0x0112, 3  # a tag of EXIF, and the type of its value
JPEG, PNG, EXIF = b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"Exif\0\0"
WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))  # markers of JPEG that stand alone
LAST = (0xD9, 0xDA)  # the image's end, and the beginning of its pixels


def read(content):
    """The EXIF orientation of a file: where the first row and column of its pixels lie.

    It is looked for in the first EXIF segment of a JPEG file, before its pixels, and in the first
    eXIf chunk of a PNG file.

    Args:
        content: the file's, bytes.

    Returns:
        1 to 8, as EXIF numbers them; 1, upright, if there is none, or none that can be read; `None`
        of other files.

    Example:
        >>> read(PNG), read(b"no image")
        (1, None)
    """
    if content.startswith(JPEG):
        return _of_tiff(_segment(content))
    if content.startswith(PNG):
        return _of_tiff(_chunk(content))
    return None


def _segment(content):
    """What follows EXIF's name in the first segment of a JPEG file that has it; or nothing."""
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:  # which fills
            place += 1
            continue
        if marker in WITHOUT_LENGTH:
            place += 2
            continue
        length = int.from_bytes(content[place + 2 : place + 4], "big")
        if marker in LAST or length < 2:
            break
        segment = content[place + 4 : place + 2 + length]
        if marker == 0xE1 and segment.startswith(EXIF):
            return segment[len(EXIF) :]
        place += 2 + length
    return b""


def _chunk(content):
    """The first eXIf chunk of a PNG file, or nothing."""
    place = len(PNG)
    while place + 8 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        if content[place + 4 : place + 8] == b"eXIf":
            return content[place + 8 : place + 8 + length].removeprefix(EXIF)
        place += 12 + length
    return b""


def _of_tiff(tiff):
    """The orientation in a TIFF header with its first directory."""
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(tiff[:4])
    if order is None:
        return UPRIGHT

    def number(place, size):
        return int.from_bytes(tiff[place : place + size], order) if place + size <= len(tiff) else 0

    directory = number(4, 4)
    for entry in range(number(directory, 2)):
        place = directory + 2 + 12 * entry
        if place + 12 > len(tiff):
            break
        if number(place, 2) == ORIENTATION:
            value = number(place + 8, 2)
            return value if number(place + 2, 2) == SHORT and 1 <= value <= 8 else UPRIGHT
    return UPRIGHT
