"""Retrieves instances by WADO-RS and compares the decoded values with those of the files that went in.

    wado_values.py BASE_URL  < paths of Part 10 files that the archive holds as current versions

One JSON line a file: {"path", "compared": [what was compared], "problems": [what differs]}, with "unreadable" where
pydicom cannot read the file, and nothing compared where it is of no study, or several files share its SOP Instance UID.
Compared are: the file as it
comes back; the metadata as DICOM JSON, element by element, with bulk data fetched where it is referred to; every frame.
"""
import json
import math
import re
import struct
import sys
import warnings
from collections import Counter
from io import BytesIO

import pydicom
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.encaps import generate_frames, parse_basic_offsets

warnings.simplefilter("ignore")
# The archive tells private elements without a VR as UN (PS3.5 6.2.2), and says nothing that only a private dictionary
# knows; so does pydicom here.
pydicom.datadict.private_dictionaries.clear()
pydicom.config.replace_un_with_known_vr = False

# pydicom leaves some code extensions of ISO 2022 in its text.
ESCAPE = re.compile("\x1b[\x20-\x2f]+[\x30-\x7e]")

NUMBERS = {"DS", "IS", "FL", "FD", "SS", "US", "SL", "UL", "SV", "UV"}
BINARY = {"OB", "OW", "OF", "OD", "OL", "OV", "UN"}
WORD = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}


def swapped(data, width):
    """The same words in the other byte order."""
    out = bytearray(data)
    for at in range(width):
        out[at::width] = data[width - 1 - at :: width]
    return bytes(out)


def values(element):
    value = element.value
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]


def plain(element, big_endian=False):
    """A value in the form in which both sides are compared."""
    if element.VR == "SQ":
        return [elements(item, big_endian) for item in element.value]
    if element.VR in BINARY:
        data = bytes(element.value or b"")
        data = swapped(data, WORD[element.VR]) if big_endian and element.VR in WORD else data
        return data
    if element.VR in NUMBERS:
        numbers = [float(value) for value in values(element) if value not in (None, "")]
        return [struct.pack("<f", number) for number in numbers] if element.VR == "FL" else numbers
    if element.VR == "AT":
        return [f"{int(value):08X}" for value in values(element)]
    texts = [ESCAPE.sub("", str(value)).rstrip(" \0") for value in values(element)]
    if element.VR == "PN":
        texts = ["=".join(group.rstrip("^") for group in text.split("=")).rstrip("=") for text in texts]
    while texts and texts[-1] == "":
        texts.pop()
    return texts


def elements(dataset, big_endian=False):
    found = {}
    for element in dataset:
        if element.tag.element == 0 or element.tag in PIXELS or element.tag.group == 2:
            continue
        try:
            found[element.tag] = (element.VR, plain(element, big_endian))
        except (TypeError, ValueError, OverflowError) as error:
            found[element.tag] = (element.VR, f"not decodable: {type(error).__name__}")
    return found


def same(left, right):
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same_element(left[tag], right[tag]) for tag in left)
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return all(same(one, other) for one, other in zip(left, right))
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-6) or (math.isnan(left) and math.isnan(right))
    if isinstance(left, bytes) and isinstance(right, bytes):
        return left == right or left + b"\0" == right or left == right + b"\0"
    return left == right


def same_element(left, right):
    return same(left[1], right[1])


def differing(left, right, where=""):
    problems = []
    for tag in sorted(set(left) | set(right)):
        if tag not in left or tag not in right:
            problems.append(f"{where}{tag} only in the {'answer' if tag in right else 'file'}")
        elif not same_element(left[tag], right[tag]):
            problems.append(f"{where}{tag} {left[tag][0]}/{right[tag][0]}")
    return problems


class Comparison:
    def __init__(self, url):
        self.url, self.session, self.client = url, requests.Session(), DICOMwebClient(url)

    def file(self, path):
        with open(path, "rb") as file:
            data = file.read()
        try:
            original = pydicom.dcmread(BytesIO(data), force=True)
        except Exception as error:
            return {"path": path, "compared": [], "problems": [], "unreadable": type(error).__name__}
        if not original.get("StudyInstanceUID"):
            return {"path": path, "compared": [], "problems": []}
        where = (original.StudyInstanceUID, original.SeriesInstanceUID, original.SOPInstanceUID)
        problems, compared = [], []
        for name in ("whole", "metadata", "frames"):
            try:
                outcome = getattr(self, name)(original, data, where)
            except Exception as error:
                outcome = [f"{type(error).__name__}: {str(error)[:300]}"]
            if outcome is not None:
                compared.append(name)
                problems += [f"{name}: {problem}" for problem in outcome]
        return {"path": path, "compared": compared, "problems": problems}

    def whole(self, original, data, where):
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        response = self.session.get(self.instance(where), headers={"Accept": accept})
        response.raise_for_status()
        boundary = response.headers["Content-Type"].split("boundary=")[1].split(";")[0].strip('"').encode()
        part = response.content.split(b"--" + boundary)[1]
        body = part.split(b"\r\n\r\n", 1)[1][:-2]
        if data in response.content:
            body = data
        came = pydicom.dcmread(BytesIO(body), force=True)
        problems = differing(elements(original), elements(came))
        return problems + ([] if body == data else ["not the bytes that went in"])

    def metadata(self, original, data, where):
        response = self.session.get(self.instance(where) + "/metadata", headers={"Accept": "application/dicom+json"})
        response.raise_for_status()
        (answer,) = response.json()
        big_endian = not original.original_encoding[1]
        came = pydicom.Dataset.from_json(answer, self.bulk)
        return differing(elements(original, big_endian), elements(came))

    def bulk(self, tag, vr, uri):
        if vr == "SQ" or int(tag, 16) in PIXELS:
            return b""
        response = self.session.get(uri, headers={"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'})
        response.raise_for_status()
        boundary = response.headers["Content-Type"].split("boundary=")[1].split(";")[0].strip('"').encode()
        return response.content.split(b"--" + boundary, 1)[1].split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--" + boundary, 1)[0]

    def frames(self, original, data, where):
        expected = frames_of(original)
        if expected is None:
            return None
        media = (("application/octet-stream", "*"),) if is_encapsulated(original) else None
        numbers = list(range(1, len(expected) + 1))
        problems = []
        for number in numbers if len(numbers) <= 8 else [1, 2, len(numbers)]:
            (came,) = self.client.retrieve_instance_frames(*where, [number], media_types=media)
            if came != expected[number - 1] and came.rstrip(b"\0") != expected[number - 1].rstrip(b"\0"):
                problems.append(f"frame {number}: {len(came)} bytes, not the {len(expected[number - 1])} of the file")
        return problems

    def instance(self, where):
        return "{}/studies/{}/series/{}/instances/{}".format(self.url, *where)


def is_encapsulated(dataset):
    """By the length of the element, for pydicom does not know every transfer syntax."""
    return dataset["PixelData"].is_undefined_length


def fragment_count(pixel_data):
    """Fragments after the Basic Offset Table."""
    at, count = 0, -1
    while pixel_data[at : at + 4] == b"\xfe\xff\x00\xe0":
        at += 8 + int.from_bytes(pixel_data[at + 4 : at + 8], "little")
        count += 1
    return count


def frames_of(dataset):
    """The frames by what pydicom reads; None where an image has none that can be told apart."""
    if not dataset.get("PixelData") or "TransferSyntaxUID" not in dataset.file_meta:
        return None
    count = int(dataset.get("NumberOfFrames", 1) or 1)
    if is_encapsulated(dataset):
        table = None
        if "ExtendedOffsetTable" in dataset:
            table = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
        offsets = parse_basic_offsets(dataset.PixelData)
        fragments = fragment_count(dataset.PixelData)
        told_apart = table or offsets or count in (1, fragments)
        frames = generate_frames(dataset.PixelData, number_of_frames=count, extended_offsets=table)
        return list(frames) if told_apart else None
    bits = dataset.Rows * dataset.Columns * dataset.get("SamplesPerPixel", 1) * dataset.BitsAllocated
    if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
        bits = bits * 2 // 3
    if bits % 8 or bits == 0 or len(dataset.PixelData) < bits // 8 * count:
        return None
    size = bits // 8
    pixels = dataset.PixelData
    if not dataset.original_encoding[1] and dataset["PixelData"].VR == "OW":
        pixels = swapped(pixels, 2)
    return [pixels[at * size : (at + 1) * size] for at in range(count)]


def uid_of(path):
    try:
        return pydicom.dcmread(path, force=True, specific_tags=["SOPInstanceUID"]).get("SOPInstanceUID")
    except Exception:
        return None


def main():
    comparison = Comparison(sys.argv[1])
    paths = [line.rstrip("\n") for line in sys.stdin]
    counts = Counter(map(uid_of, paths))
    for path in paths:
        shared = {"path": path, "compared": [], "problems": []}
        print(json.dumps(comparison.file(path) if counts[uid_of(path)] == 1 else shared), flush=True)


if __name__ == "__main__":
    main()
