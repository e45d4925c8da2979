"""Writes one instance and what may come under its SOP Instance UID later.

    make_variants.py FOLDER

original, changed (another description), re-encoded (implicit VR), other-patient, other-study, and other-syntax-1 and -2
(equal data sets under two transfer syntaxes).
"""
import pathlib
import sys

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit, JPEGExtended12Bit

CT = "1.2.840.10008.5.1.4.1.1.2"


def image(sop="1.2.3.4.5.1"):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT, sop
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.4.5", "1.2.3.4.5.0"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "One^Person", "ONE", "19700101"
    dataset.Modality, dataset.StudyDate, dataset.SeriesDescription = "CT", "20240102", "original"
    dataset.InstanceNumber, dataset.Rows, dataset.Columns = 1, 64, 64
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = bytes((at * 7919 >> 5) & 0x0F if at % 2 else (at * 31) % 251 for at in range(64 * 64 * 2))
    return dataset


def save(dataset, path, syntax=ExplicitVRLittleEndian):
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = CT
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset["PixelData"].VR = "OB" if syntax.is_encapsulated else "OW"
    dataset["PixelData"].is_undefined_length = syntax.is_encapsulated
    dataset.save_as(path, enforce_file_format=True)


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    save(image(), folder / "original.dcm")
    save(image(), folder / "re-encoded.dcm", ImplicitVRLittleEndian)
    changed = image()
    changed.SeriesDescription = "changed"
    save(changed, folder / "changed.dcm")
    other = image()
    other.PatientName, other.PatientID, other.PatientBirthDate = "Two^Person", "TWO", "19800202"
    save(other, folder / "other-patient.dcm")
    other = image()
    other.StudyInstanceUID = "1.2.3.4.6"
    save(other, folder / "other-study.dcm")
    for name, syntax in [("other-syntax-1", JPEGBaseline8Bit), ("other-syntax-2", JPEGExtended12Bit)]:
        compressed = image()
        compressed.PixelData = encapsulate([b"\xff\xd8" + bytes(500) + b"\xff\xd9"])
        save(compressed, folder / f"{name}.dcm", syntax)


if __name__ == "__main__":
    main()
