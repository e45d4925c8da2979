"""Says what pydicom makes of files, before anybody asks the archive: reads paths from standard input and prints one JSON
line a file: {"path", "judgement", "missing", "sop", "has_pixels"}.

"judgement" is one of
    not-dicom   nothing that pydicom takes for DICOM, and no UID in it when it is made to read it all the same
    directory   a DICOMDIR (PS3.10 §8): its Media Storage SOP Class says so
    truncated   pydicom asked for more bytes of a value, or of an open sequence, than there are
    unplaced    a UID is missing or empty that its place hangs on; "missing" names them
    whole       none of these
"""
import io
import json
import sys
import warnings

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage

UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


class Watched(io.BytesIO):
    """Notices who asks for more than there is. A header of 8 bytes after the last element is how pydicom finds the end."""

    fell_short = False

    def read(self, size=-1):
        data = super().read(size)
        if size is not None and 0 <= len(data) < size and not (size in (4, 8) and not data):
            self.fell_short = True
        return data


def judge(path):
    with open(path, "rb") as file:
        content = file.read()
    try:
        data_set, strict = dcmread(Watched(content)), True
    except InvalidDicomError:
        strict = False
    file = Watched(content)
    try:
        data_set = dcmread(file, force=True)
        missing = [name for name in UIDS if not str(data_set.get(name, "") or "").strip(" \0")]
    except Exception as error:
        return {"judgement": "not-dicom", "missing": [type(error).__name__]}
    said = {"missing": missing, "sop": str(data_set.get("SOPInstanceUID", "")), "has_pixels": bool(data_set.get("PixelData"))}
    if not strict and len(missing) == len(UIDS):
        return {"judgement": "not-dicom", **said}
    if data_set.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        return {"judgement": "directory", **said}
    if file.fell_short:
        return {"judgement": "truncated", **said}
    return {"judgement": "unplaced" if missing else "whole", **said}


def main():
    warnings.simplefilter("ignore")
    for path in [line.rstrip("\n") for line in sys.stdin]:
        print(json.dumps({"path": path, **judge(path)}), flush=True)


if __name__ == "__main__":
    main()
