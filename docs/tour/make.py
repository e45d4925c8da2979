"""Makes the files of the README's tour: three small studies of three people who do not exist.

    python3 docs/tour/make.py        (needs pydicom 3 and numpy)

The same bytes come out each time: UIDs are derived from names, dates are fixed.
"""
import pathlib
import uuid

import numpy
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, RLELossless

BASIC_TEXT_SR = UID("1.2.840.10008.5.1.4.1.1.88.11")
SECONDARY_CAPTURE = UID("1.2.840.10008.5.1.4.1.1.7")
TO = pathlib.Path(__file__).resolve().parent / "files"


def uid(*words):
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_DNS, '/'.join(map(str, ('tour.vellum.example', *words)))).int}"


def instance(person, study, series, number, modality, sop_class):
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID = sop_class
    data.SOPInstanceUID = uid(person["id"], study["text"], series, number)
    data.StudyDate = data.SeriesDate = data.ContentDate = study["date"]
    data.StudyTime = data.SeriesTime = data.ContentTime = "101500"
    data.AccessionNumber = study["accession"]
    data.Modality = modality
    data.Manufacturer = "Synthetic: made by docs/tour/make.py"
    data.ReferringPhysicianName = "Synthetic^Referrer"
    data.StudyDescription = study["text"]
    data.SeriesDescription = f"{modality} synthetic"
    data.PatientName = person["name"]
    data.PatientID = person["id"]
    data.PatientBirthDate = person["born"]
    data.PatientSex = "O"
    data.StudyInstanceUID = uid(person["id"], study["text"])
    data.SeriesInstanceUID = uid(person["id"], study["text"], series)
    data.StudyID = "1"
    data.SeriesNumber = series
    data.InstanceNumber = number
    return data


def pixels(data, array, photometric):
    data.SamplesPerPixel = 3 if array.ndim == 3 else 1
    data.PhotometricInterpretation = photometric
    if array.ndim == 3:
        data.PlanarConfiguration = 0
    data.Rows, data.Columns = array.shape[:2]
    data.BitsAllocated = 8 * array.dtype.itemsize
    data.BitsStored = data.BitsAllocated
    data.HighBit = data.BitsAllocated - 1
    data.PixelRepresentation = 0
    data.PixelData = array.tobytes()


def save(name, data, rle=False):
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.ImplementationClassUID = uid("implementation")
    if rle:
        data.compress(RLELossless, generate_instance_uid=False)
    path = TO / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


def disc(size, radius):
    y, x = numpy.mgrid[:size, :size] - size / 2
    return numpy.hypot(x, y) < radius


def main():
    ada = {"name": "Synthetic^Ada", "id": "SYN-0001", "born": "19000101"}
    zoe = {"name": "Synthetic^Zoë", "id": "SYN-0002", "born": "19000202"}
    kim = {"name": "Synthetic^Kim", "id": "SYN-0003", "born": "19000303"}

    phantom = {"text": "Phantom head", "date": "20240115", "accession": "A-1001"}
    for number in range(1, 5):
        data = instance(ada, phantom, 1, number, "CT", CTImageStorage)
        slice_ = numpy.where(disc(64, 28), 1040, 24).astype("<u2")
        slice_[disc(64, 5 * number)] = 1100
        pixels(data, slice_, "MONOCHROME2")
        data.RescaleIntercept, data.RescaleSlope = "-1024", "1"
        data.SliceThickness, data.PixelSpacing = "5", ["3", "3"]
        data.ImagePositionPatient, data.ImageOrientationPatient = ["0", "0", str(5 * number)], list("100010")
        save(f"ct/slice-{number}.dcm", data)

    knee = {"text": "Phantom knee", "date": "20240220", "accession": "A-1002"}
    for number in (1, 2):
        data = instance(zoe, knee, 1, number, "MR", MRImageStorage)
        pixels(data, numpy.where(disc(64, 10 + 8 * number), 200, 10).astype("<u2"), "MONOCHROME2")
        data.ScanningSequence, data.SequenceVariant = "SE", "NONE"
        save(f"mr/rle-{number}.dcm", data, rle=True)
    data = instance(zoe, knee, 2, 1, "OT", SECONDARY_CAPTURE)
    data.ConversionType = "SYN"
    ramp = numpy.linspace(0, 255, 64).astype("u1")
    pixels(data, numpy.dstack(numpy.broadcast_arrays(ramp[:, None], ramp[None, :], ramp[None, ::-1])), "RGB")
    save("mr/screen.dcm", data)

    report = {"text": "Phantom report", "date": "20240302", "accession": "A-1003"}
    data = instance(kim, report, 1, 1, "SR", BASIC_TEXT_SR)
    data.CompletionFlag, data.VerificationFlag = "COMPLETE", "UNVERIFIED"
    title = Dataset()
    title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning = "18748-4", "LN", "Diagnostic imaging report"
    text = Dataset()
    text.RelationshipType, text.ValueType = "CONTAINS", "TEXT"
    finding = Dataset()
    finding.CodeValue, finding.CodingSchemeDesignator, finding.CodeMeaning = "121071", "DCM", "Finding"
    text.ConceptNameCodeSequence = Sequence([finding])
    text.TextValue = "Nothing. This person does not exist."
    data.ValueType, data.ContinuityOfContent = "CONTAINER", "SEPARATE"
    data.ConceptNameCodeSequence = Sequence([title])
    data.ContentSequence = Sequence([text])
    save("sr/report.dcm", data)

    (TO / "notes.txt").write_text("Not everything in a folder is DICOM.\n")


if __name__ == "__main__":
    main()
