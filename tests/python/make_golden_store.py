"""Makes the golden store of format 1 and the golden journal folder, by the program itself, from synthetic data.

    make_golden_store.py VELLUM FOLDER [SECONDS]

With SECONDS the server runs that long at the end, so that it merges packs.
FOLDER gets `store-1/` (a whole store), `store-1.tsv` (SHA-256, study, instance of every file that must come out of it,
and whether it was received or composed) and `journal-folder-1/` with `journal-folder-1.tsv`. It ran once for the fixtures in `tests/golden`; it is kept so
that a later format gets its own. Random ids make each run's bytes differ. Names and numbers of patients are invented.
"""

import hashlib
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import zlib

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, fragment_frame
from pydicom.uid import UID
from pynetdicom import AE, _config, build_context

_config.STORE_SEND_CHUNKED_DATASET = True

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, JPEG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50"
CAPTURE, MULTI = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.2"
ROOT = "1.2.826.0.1.3680043.10.1337"


def noise(length, seed):
    """Bytes that do not compress, the same in each run."""
    out, block = b"", seed.encode()
    while len(out) < length:
        block = hashlib.sha256(block).digest()
        out += block
    return out[:length]


def data_set(study, instance, sop_class=CAPTURE, description="synthetic"):
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, f"{ROOT}.{study}.1.{instance}"
    ds.StudyDate, ds.StudyTime, ds.Modality = "20260102", "030405", "OT"
    ds.StudyDescription, ds.SeriesDescription = "Golden store", description
    ds.PatientName, ds.PatientID = "Muster^Zoë", f"GOLDEN-{study}"
    ds.PatientBirthDate, ds.PatientSex = "19700101", "O"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{ROOT}.{study}", f"{ROOT}.{study}.1"
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = "1", 1, instance
    return ds


def with_pixels(ds, pixels, rows, columns, frames=1, bits=8):
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    if frames > 1:
        ds.NumberOfFrames = frames
    ds.Rows, ds.Columns = rows, columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, bits, bits - 1, 0
    ds.PixelData = pixels
    ds["PixelData"].VR = "OB" if bits == 8 else "OW"
    return ds


def encode(ds, syntax):
    """The data set's bytes; deflated here, for what pydicom does to them is not stable."""
    buffer = io.BytesIO()
    implicit = syntax == IMPLICIT
    if "PixelData" in ds:
        ds["PixelData"].is_undefined_length = syntax == JPEG
    pydicom.dcmwrite(buffer, ds, implicit_vr=implicit, little_endian=syntax != BIG, enforce_file_format=False)
    content = buffer.getvalue()
    if syntax == DEFLATED:
        packer = zlib.compressobj(wbits=-15)
        content = packer.compress(content) + packer.flush()
        content += b"\0" * (len(content) % 2)
    return content


def prefix(ds, syntax, who="GOLDEN 1", preamble=bytes(128)):
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID, meta.ImplementationVersionName = f"{ROOT}.0", who
    buffer = io.BytesIO()
    pydicom.filewriter.write_file_meta_info(buffer, meta)
    return preamble + b"DICM" + buffer.getvalue()


class Cases:
    """Files for the program, and what must come out again."""

    def __init__(self, folder):
        self.folder, self.expected = folder, []
        folder.mkdir(parents=True)

    def file(self, name, ds, syntax, **how):
        return self.bytes(name, ds, prefix(ds, syntax, **how) + encode(ds, syntax))

    def bytes(self, name, ds, data):
        path = self.folder / name
        path.write_bytes(data)
        self.expected.append((hashlib.sha256(data).hexdigest(), str(ds.StudyInstanceUID), str(ds.SOPInstanceUID)))
        return path


def jpeg(seed, length):
    return b"\xff\xd8\xff\xe0" + noise(length - 6, seed).replace(b"\xff", b"\xfe") + b"\xff\xd9"


def first_files(cases):
    """Every shape once."""
    multi = with_pixels(data_set(1, 1, MULTI, "native, 300 frames"), b"", 60, 100, 300)
    multi.PixelData = b"".join((bytes([n % 251]) * 5990 + noise(10, str(n))) for n in range(300))
    small = with_pixels(data_set(1, 2, MULTI, "native, 260 small frames"), noise(64 * 260, "small"), 8, 8, 260)
    items = with_pixels(data_set(1, 3, MULTI, "two fragments a frame"), b"", 16, 16, 3)
    items.PixelData = encapsulate([jpeg(f"f{n}", 3000 + 4000 * n) for n in range(3)], fragments_per_frame=2, has_bot=True)
    one = with_pixels(data_set(1, 4, CAPTURE, "one frame, fragments, no offset table"), b"", 16, 16)
    one.PixelData = encapsulate([jpeg("one", 5000)], fragments_per_frame=3, has_bot=False)
    big = with_pixels(data_set(2, 1, CAPTURE, "big endian"), noise(96 * 96 * 2, "big"), 96, 96, bits=16)
    deflated = with_pixels(data_set(2, 2, CAPTURE, "deflated"), bytes(range(256)) * 36, 96, 96)
    text = data_set(2, 3, CAPTURE, "no pixels, nested")
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99GOLD", "Äpfel"
    text.ProcedureCodeSequence = [item]
    private = text.private_block(0x0099, "GOLDEN STORE", create=True)
    private.add_new(1, "UN", noise(5000, "private"))
    plain = with_pixels(data_set(2, 4, CAPTURE, "without preamble and meta group"), noise(1500, "plain"), 30, 50)
    return {
        "multi": (cases.file("multi.dcm", multi, EXPLICIT), multi),
        "small": (cases.file("small.dcm", small, IMPLICIT), small),
        "items": (cases.file("items.dcm", items, JPEG), items),
        "one": (cases.file("one.dcm", one, JPEG), one),
        "big": (cases.file("big.dcm", big, BIG), big),
        "deflated": (cases.file("deflated.dcm", deflated, DEFLATED), deflated),
        "text": (cases.file("text.dcm", text, EXPLICIT), text),
        "plain": (cases.bytes("plain.dcm", plain, encode(plain, IMPLICIT)), plain),
    }


class Program:
    def __init__(self, path, data):
        self.path, self.data = path, data
        self.environment = dict(os.environ, VELLUM_HTTP__LISTEN="127.0.0.1:0", VELLUM_DIMSE__LISTEN="127.0.0.1:0",
                                VELLUM_LOG__FORMAT="json", VELLUM_JOURNAL__ALLOW_VOLATILE="true",
                                VELLUM_JOURNAL__SEGMENT="64MiB", VELLUM_JOURNAL__RESERVE="16MiB",
                                VELLUM_JOURNAL__INLINE="1KiB", VELLUM_DATA=str(data))

    def run(self, *arguments):
        subprocess.run([self.path, *map(str, arguments)], env=self.environment, check=True)

    def serve(self, **more):
        server = subprocess.Popen([self.path, "serve"], env=dict(self.environment, **more), stderr=subprocess.PIPE)
        for line in server.stderr:
            fields = json.loads(line).get("fields", {})
            if fields.get("message") == "ready":
                host, _, port = fields["dimse"].rpartition(":")
                return server, host, int(port)
        raise SystemExit("the server did not start")


def c_store(program, *paths):
    server, host, port = program.serve(VELLUM_MERGE__PACKS_MIN="1000")
    try:
        for path in paths:
            meta = pydicom.dcmread(path, stop_before_pixels=True).file_meta
            context = build_context(meta.MediaStorageSOPClassUID, [meta.TransferSyntaxUID])
            association = AE(ae_title="GOLDENSCU").associate(host, port, contexts=[context], ae_title="VELLUM")
            status = association.send_c_store(path)
            association.release()
            assert status.Status == 0, status
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def exported(program, folder):
    """Composed files, as the program gives them back."""
    program.run("export", "--all", "--versions", "--to", folder)
    for path in sorted(folder.rglob("*.dcm")):
        data = path.read_bytes()
        ds = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        yield hashlib.sha256(data).hexdigest(), str(ds.StudyInstanceUID), str(ds.SOPInstanceUID)


def write_list(path, received, exported):
    """Files that were received, and files that the program composed for bare data sets."""
    rows = {(*row, "received") for row in received}
    rows |= {(*row, "composed") for row in exported if row not in received}
    path.write_text("".join("\t".join(row) + "\n" for row in sorted(rows)))


def main():
    vellum, folder = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    work = folder / "work"
    cases = Cases(work / "files")
    files = first_files(cases)
    program = Program(vellum, work / "data")
    program.run("import", *[path for name, (path, _) in files.items() if name != "multi"])

    # The journal as it lies before anything is sealed, with a duplicate and a bare data set.
    again = cases.file("again.dcm", files["one"][1], JPEG, who="GOLDEN 2")
    program.run("import", again)
    sent = with_pixels(data_set(3, 1, CAPTURE, "sent"), noise(64 * 64, "sent"), 64, 64)
    sent_path = Cases(work / "sent").file("sent.dcm", sent, EXPLICIT)
    c_store(program, sent_path)
    journal = folder / "journal-folder-1"
    shutil.copytree(work / "data" / "journal", journal)
    for segment in journal.glob("*.journal"):
        data = segment.read_bytes().rstrip(b"\0")
        segment.write_bytes(data + bytes(-len(data) % 4096))
    received = [row for row in cases.expected if not row[2].endswith(".1.1.1")]
    write_list(folder / "journal-folder-1.tsv", received, exported(program, work / "first"))
    program.run("import", files["multi"][0])
    program.run("seal", "--now")

    # A second version, then a duplicate of what is sealed with a prefix of its own, then the same without prefix.
    second = with_pixels(data_set(1, 4, CAPTURE, "one frame, second version"), noise(24 * 24, "v2"), 24, 24)
    program.run("import", cases.file("second.dcm", second, EXPLICIT))
    program.run("seal", "--now")
    program.run("import", cases.file("third.dcm", files["one"][1], JPEG, who="GOLDEN 3", preamble=b"II*\0" + bytes(124)))
    program.run("seal", "--now")
    c_store(program, files["big"][0], files["items"][0])
    program.run("seal", "--now")
    # Four packs of one study, for a merge.
    for number in range(1, 5):
        part = with_pixels(data_set(4, number, CAPTURE, "to be merged"), noise(40 * 40, f"m{number}"), 40, 40)
        program.run("import", cases.file(f"merge-{number}.dcm", part, EXPLICIT))
        program.run("seal", "--now")
    program.run("import", cases.file("merge-again.dcm", part, EXPLICIT, who="GOLDEN 4"))
    program.run("seal", "--now")
    if len(sys.argv) > 3:
        server, _, _ = program.serve(VELLUM_MERGE__PACKS_MIN="4", VELLUM_MERGE__QUIET="0s")
        try:
            server.wait(float(sys.argv[3]))
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGTERM)
            server.wait()
    shutil.copytree(work / "data" / "store", folder / "store-1",
                    ignore=shutil.ignore_patterns(".stage", "access", "probe"))
    write_list(folder / "store-1.tsv", cases.expected, exported(program, work / "last"))


if __name__ == "__main__":
    main()
