"""The EXIF orientation of image files. It does not import TensorFlow.

It does not use Pillow, which also looks elsewhere, such as in XMP: an export must find the same
orientation with TensorFlow's operations (`rocket_tf.serving.image_decoding`).
"""

UPRIGHT = 1
ORIENTATION, SHORT = 0x0112, 3  # tag in EXIF, and the type of its value
JPEG, PNG, EXIF = b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"Exif\0\0"
WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))  # JPEG markers without a segment
LAST = (0xD9, 0xDA)  # end of the image, and start of its pixels


def read(content):
    """Reads a file's EXIF orientation: on which sides its first row and column of pixels belong.

    It is read from the first EXIF segment before the pixels of a JPEG file, or from the first eXIf
    chunk of a PNG file.

    Args:
        content: content of the file, bytes.

    Returns:
        1 to 8, as EXIF numbers them; 1, upright, if there is no readable orientation; `None` for
        files of other formats.

    Example:
        >>> read(PNG), read(b"no image")
        (1, None)
    """
    if content.startswith(JPEG):
        return _orientation_in_tiff(_segment(content))
    if content.startswith(PNG):
        return _orientation_in_tiff(_chunk(content))
    return None


def _segment(content):
    """The content of a JPEG file's first EXIF segment, or nothing."""
    offset = 2
    while offset + 4 <= len(content) and content[offset] == 0xFF:
        marker = content[offset + 1]
        if marker == 0xFF:  # a fill byte
            offset += 1
            continue
        if marker in WITHOUT_LENGTH:
            offset += 2
            continue
        length = int.from_bytes(content[offset + 2 : offset + 4], "big")
        if marker in LAST or length < 2:
            break
        segment = content[offset + 4 : offset + 2 + length]
        if marker == 0xE1 and segment.startswith(EXIF):
            return segment[len(EXIF) :]
        offset += 2 + length
    return b""


def _chunk(content):
    """The first eXIf chunk of a PNG file, or nothing."""
    offset = len(PNG)
    while offset + 8 <= len(content):
        length = int.from_bytes(content[offset : offset + 4], "big")
        if content[offset + 4 : offset + 8] == b"eXIf":
            return content[offset + 8 : offset + 8 + length].removeprefix(EXIF)
        offset += 12 + length
    return b""


def _orientation_in_tiff(tiff):
    """The orientation in a TIFF header with its first directory."""
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(tiff[:4])
    if order is None:
        return UPRIGHT

    def number(offset, size):
        return (
            int.from_bytes(tiff[offset : offset + size], order) if offset + size <= len(tiff) else 0
        )

    directory = number(4, 4)
    for entry in range(number(directory, 2)):
        offset = directory + 2 + 12 * entry
        if offset + 12 > len(tiff):
            break
        if number(offset, 2) == ORIENTATION:
            value = number(offset + 8, 2)
            return value if number(offset + 2, 2) == SHORT and 1 <= value <= 8 else UPRIGHT
    return UPRIGHT
