"""Writes small files of the transfer syntaxes and shapes for which no public file is known.

    make_shapes.py FOLDER

The codestreams are no pictures, and need not be: an archive keeps and cuts them, and does not decode them.
"""
import pathlib
import struct
import sys

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate_extended
from pydicom.uid import UID, generate_uid

VIDEO = "1.2.840.10008.5.1.4.1.1.77.1.4.1"
MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.7.2"
STUDY, SERIES = generate_uid(), generate_uid()


def item(data):
    data += b"\0" * (len(data) % 2)
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(data)) + data


def encapsulated(fragments, table=b""):
    return item(table) + b"".join(item(fragment) for fragment in fragments)


def frame(number, length, start=b"", end=b""):
    body = bytes((number * 37 + at * 11) % 251 for at in range(length - len(start) - len(end)))
    return start + body + end


def image(sop_class, syntax, frames, rows=16, columns=16):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
    dataset.PatientName, dataset.PatientID, dataset.Modality = "Shapes^Of", "SHAPES", "OT"
    dataset.StudyDate, dataset.StudyTime, dataset.InstanceNumber = "20240102", "030405", 1
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = rows, columns, frames
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    return dataset


def save(dataset, folder, name, pixels, encapsulates=True):
    dataset.PixelData = pixels
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = encapsulates
    dataset.save_as(folder / f"{name}.dcm", enforce_file_format=True, implicit_vr=False, little_endian=True)


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    jpeg = [frame(number, 5000 + 2 * number, b"\xff\xd8", b"\xff\xd9") for number in range(5)]

    dataset = image(MULTI_FRAME, "1.2.840.10008.1.2.4.50", len(jpeg))
    pixels, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(jpeg)
    save(dataset, folder, "extended-offset-table", pixels)

    offsets, at = [], 0
    for one in jpeg:
        offsets.append(at)
        at += 8 + 8 + len(one)
    fragments = [piece for one in jpeg for piece in (one[:2000], one[2000:])]
    table = b"".join(struct.pack("<I", offset) for offset in offsets)
    dataset = image(MULTI_FRAME, "1.2.840.10008.1.2.4.50", len(jpeg))
    save(dataset, folder, "basic-offset-table-two-fragments-a-frame", encapsulated(fragments, table))

    for name, syntax in [("mpeg2", "1.2.840.10008.1.2.4.100"), ("mpeg4", "1.2.840.10008.1.2.4.102"), ("hevc", "1.2.840.10008.1.2.4.107")]:
        dataset = image(VIDEO, syntax, 250)
        save(dataset, folder, f"video-{name}", encapsulated([frame(3, 200_000, b"\0\0\1\xb3")]))

    raw = [frame(number, 256) for number in range(3)]
    dataset = image(MULTI_FRAME, "1.2.840.10008.1.2.1.98", len(raw))
    save(dataset, folder, "encapsulated-uncompressed", encapsulated(raw))

    for name, syntax in [("htj2k-lossless", "201"), ("htj2k-rpcl", "202"), ("htj2k", "203")]:
        codestream = [frame(number, 3000, b"\xff\x4f\xff\x51", b"\xff\xd9") for number in range(2)]
        dataset = image(MULTI_FRAME, f"1.2.840.10008.1.2.4.{syntax}", len(codestream))
        save(dataset, folder, name, encapsulated(codestream))


if __name__ == "__main__":
    main()
