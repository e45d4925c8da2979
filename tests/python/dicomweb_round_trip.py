"""Stores, finds and retrieves with dicomweb-client, and compares with what the files say.

usage: dicomweb_round_trip.py BASE_URL CORPUS
"""

import sys
from pathlib import Path

import pydicom
from dicomweb_client.api import DICOMwebClient


def main(url, corpus):
    client = DICOMwebClient(url=url)
    paths = sorted((corpus / "studies/mr-adc-20").glob("0000*.dcm"))[:6]
    datasets = [pydicom.dcmread(path) for path in paths]
    study = datasets[0].StudyInstanceUID

    answer = client.store_instances(datasets)
    stored = {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence}
    assert stored == {dataset.SOPInstanceUID for dataset in datasets}, stored
    assert "FailedSOPSequence" not in answer

    found = client.search_for_studies(search_filters={"StudyInstanceUID": study})
    assert [pydicom.Dataset.from_json(one).StudyInstanceUID for one in found] == [study]
    assert client.search_for_studies(search_filters={"PatientName": "NOBODY^AT ALL"}) == []
    assert len(client.search_for_instances(study)) == len(datasets)
    assert len(client.search_for_instances(limit=2)) == 2
    some = client.search_for_series(study, fields=["Modality", "SeriesDescription"])
    assert len(some) == len({dataset.SeriesInstanceUID for dataset in datasets})

    back = {one.SOPInstanceUID: one for one in client.retrieve_study(study)}
    assert set(back) == stored
    for dataset in datasets:
        series, sop = dataset.SeriesInstanceUID, dataset.SOPInstanceUID
        assert back[sop].PixelData == dataset.PixelData
        one = client.retrieve_instance(study, series, sop)
        assert one.PixelData == dataset.PixelData
        assert one.file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID
        (metadata,) = [client.retrieve_instance_metadata(study, series, sop)]
        assert metadata["00080018"]["Value"] == [sop]
        (frame,) = client.retrieve_instance_frames(study, series, sop, [1])
        assert frame == dataset.PixelData[: len(frame)]
        bulk = client.retrieve_bulkdata(metadata["7FE00010"]["BulkDataURI"])
        assert b"".join(bulk) == dataset.PixelData
    assert len(client.retrieve_study_metadata(study)) == len(datasets)
    assert len(list(client.iter_study(study))) == len(datasets)

    compressed(client, corpus / "transfer-syntax/MR_small_jpeg_ls_lossless.dcm", "image/jls")
    compressed(client, corpus / "transfer-syntax/MR_small_RLE.dcm", "image/dicom-rle")
    compressed(client, corpus / "transfer-syntax/MR_small_jp2klossless.dcm", "image/jp2")
    big_endian(client, corpus)


def compressed(client, path, media_type):
    dataset = pydicom.dcmread(path)
    # The samples of one image share its UID.
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    client.store_instances([dataset])
    where = dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID
    syntax = dataset.file_meta.TransferSyntaxUID
    (frame,) = client.retrieve_instance_frames(*where, [1], media_types=((media_type, syntax),))
    (expected,) = list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    assert frame == expected, path
    back = client.retrieve_instance(*where, media_types=(("application/dicom", syntax),))
    assert back.PixelData == dataset.PixelData


def big_endian(client, corpus):
    """The same image stored in both byte orders gives the same frame."""
    big = pydicom.dcmread(corpus / "transfer-syntax/MR_small_expb.dcm")
    little = pydicom.dcmread(corpus / "transfer-syntax/MR_small_implicit.dcm")
    big.SOPInstanceUID = big.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    client.store_instances([big])
    where = big.StudyInstanceUID, big.SeriesInstanceUID, big.SOPInstanceUID
    (frame,) = client.retrieve_instance_frames(*where, [1])
    assert frame == little.PixelData


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
