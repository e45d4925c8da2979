"""Sends DICOM files to an archive and prints one JSON line a file: {"path", "status", "comment"}.

    send_files.py c-store HOST PORT AE_TITLE [--from AE_TITLE]  < paths
    send_files.py stow URL                                      < paths

By C-STORE the data set leaves byte for byte as it lies in the file, in the file's transfer syntax; a file without a
meta group cannot be sent that way and is "unsendable". By STOW-RS the file leaves as it is.
"""
import argparse
import json
import pathlib
import sys
import uuid

import requests
from pydicom import dcmread
from pydicom.uid import UID
from pynetdicom import _config, build_context

from requestor import requestor
from store_files import negotiations

_config.STORE_SEND_CHUNKED_DATASET = True
_config.USE_SHORT_DIMSE_AET = False


def c_store(paths, arguments):
    ae = requestor()
    ae.ae_title = arguments.source
    ae.maximum_pdu_size = 0
    groups = {}
    for path in paths:
        try:
            with open(path, "rb") as file:
                meta = dcmread(file, stop_before_pixels=True, specific_tags=["SOPClassUID"]).file_meta
            key = (str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID))
            if not str(meta.MediaStorageSOPInstanceUID):
                raise ValueError("no instance")
        except Exception as error:
            yield path, "unsendable", type(error).__name__
            continue
        groups.setdefault(key, []).append(path)
    for (sop_class, syntax), members in groups.items():
        yield from send_group(ae, sop_class, syntax, members, arguments)


def send_group(ae, sop_class, syntax, members, arguments):
    context = build_context(sop_class, [UID(syntax)])
    association = ae.associate(
        arguments.host,
        arguments.port,
        contexts=[context],
        ae_title=arguments.called,
        max_pdu=0,
        ext_neg=negotiations({sop_class}),
    )
    if not association.is_established:
        for path in members:
            yield path, "no-association", ""
        return
    accepted = bool(association.accepted_contexts)
    for path in members:
        if not accepted:
            yield path, "no-context", f"{sop_class} {syntax}"
            continue
        try:
            response = association.send_c_store(pathlib.Path(path))
            yield path, f"{response.Status:04X}" if "Status" in response else "no-response", response.get("ErrorComment", "")
        except Exception as error:
            yield path, "unsendable", type(error).__name__
    association.release()


def stow(paths, arguments):
    session = requests.Session()
    for path in paths:
        boundary = uuid.uuid4().hex
        body = (
            f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
            + pathlib.Path(path).read_bytes()
            + f"\r\n--{boundary}--\r\n".encode()
        )
        response = session.post(
            f"{arguments.url}/studies",
            data=body,
            headers={
                "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
                "Accept": "application/dicom+json",
            },
        )
        yield path, str(response.status_code), response.text[:2000]


def main():
    parser = argparse.ArgumentParser()
    doors = parser.add_subparsers(dest="door", required=True)
    by_c_store = doors.add_parser("c-store")
    by_c_store.add_argument("host")
    by_c_store.add_argument("port", type=int)
    by_c_store.add_argument("called")
    by_c_store.add_argument("--from", dest="source", default="SENDER")
    by_stow = doors.add_parser("stow")
    by_stow.add_argument("url")
    arguments = parser.parse_args()
    paths = [line.rstrip("\n") for line in sys.stdin]
    send = c_store if arguments.door == "c-store" else stow
    for path, status, comment in send(paths, arguments):
        print(json.dumps({"path": path, "status": status, "comment": comment}), flush=True)


main()
