"""Says whether two data sets hold the same elements with the same values, read by pydicom.

Usage: same_data_set.py PAIRS, a file of lines "ORIGINAL<TAB>RECEIVED<TAB>SYNTAX": a Part 10 file, a bare data set, and
the transfer syntax of the latter. Prints one line a pair: "same", or what differs. Group lengths and padding may differ:
toolkits that decode and encode again renew them. Pixel data of another syntax is not compared.
"""

import sys
import zlib
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.filereader import read_dataset
from pydicom.uid import UID

PIXEL_DATA = 0x7FE00010


def received(path, syntax):
    data = Path(path).read_bytes()
    if syntax.is_deflated:
        data = zlib.decompress(data, -zlib.MAX_WBITS)
    return read_dataset(BytesIO(data), syntax.is_implicit_VR, syntax.is_little_endian)


def plain(element):
    value = element.value
    if element.VR == "SQ":
        return [elements(item) for item in value]
    return str(value)


def elements(dataset, without=()):
    return {
        element.tag: plain(element) for element in dataset if element.tag.element != 0 and element.tag not in without
    }


def compare(original_path, received_path, syntax):
    original = dcmread(original_path, force=True)
    without = () if original.file_meta.TransferSyntaxUID == syntax else (PIXEL_DATA,)
    left, right = elements(original, without), elements(received(received_path, syntax), without)
    different = [str(tag) for tag in sorted(set(left) | set(right)) if left.get(tag) != right.get(tag)]
    return "same" if not different else "differs: " + " ".join(different)


for line in Path(sys.argv[1]).read_text().splitlines():
    first, second, uid = line.split("\t")
    print(compare(first, second, UID(uid)), flush=True)
