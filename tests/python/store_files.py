"""Sends DICOM files by C-STORE with pynetdicom, bit-preserving, and says what it sent.

Usage: store_files.py PORT CALLED_AE FILE...

Every file is proposed in its own transfer syntax and sent without decoding its data set. One line of JSON a file:
path, SOP Instance UID, SOP Class UID, transfer syntax, length and SHA-256 of the data set as pydicom delimits it (what
follows the file meta group), and the status, or "not accepted" where its context was not. A class that pynetdicom does
not know as storage is announced as storage by SOP Class Common Extended Negotiation (PS3.7 D.3.3.6).
"""

import hashlib
import json
import sys
from pathlib import Path

from pydicom.uid import UID
from pynetdicom import _config
from pynetdicom.dsutils import split_dataset
from pynetdicom.pdu_primitives import SOPClassCommonExtendedNegotiation
from pynetdicom.sop_class import uid_to_service_class
from pynetdicom.service_class import StorageServiceClass

from requestor import requestor

_config.STORE_SEND_CHUNKED_DATASET = True

CONTEXTS_MAX = 128


def describe(path):
    """What pydicom says about a file, or None for what is no Part 10 file with the UIDs that C-STORE needs."""
    try:
        meta, offset = split_dataset(path)
    except Exception:
        return None
    fields = ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")
    if any(not meta.get(field) for field in fields):
        return None
    data = path.read_bytes()[offset:]
    return {
        "path": str(path),
        "class": str(meta.MediaStorageSOPClassUID),
        "sop": str(meta.MediaStorageSOPInstanceUID),
        "syntax": str(meta.TransferSyntaxUID),
        "length": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def negotiations(classes):
    """Declares the classes that pynetdicom itself does not know to be storage."""
    items = []
    for uid in sorted(classes):
        if uid_to_service_class(uid) is StorageServiceClass:
            continue
        item = SOPClassCommonExtendedNegotiation()
        item.sop_class_uid = UID(uid)
        item.service_class_uid = UID("1.2.840.10008.4.2")
        items.append(item)
    return items


def batches(files):
    """Splits files so that each batch needs at most as many contexts as an association may have."""
    batch, contexts = [], set()
    for file in files:
        context = (file["class"], file["syntax"])
        if context not in contexts and len(contexts) == CONTEXTS_MAX:
            yield batch, contexts
            batch, contexts = [], set()
        contexts.add(context)
        batch.append(file)
    if batch:
        yield batch, contexts


def store(association, file, message_id):
    """The status answered; "not sendable" for UIDs that pynetdicom itself does not let out."""
    try:
        status = association.send_c_store(Path(file["path"]), msg_id=message_id)
    except ValueError:
        return "not sendable"
    return f"{status.Status:04X}" if "Status" in status else "no answer"


def send(port, called, batch, contexts):
    """Sends one batch over one association."""
    entity = requestor()
    for sop_class, syntax in sorted(contexts):
        entity.add_requested_context(sop_class, syntax)
    items = negotiations({sop_class for sop_class, _ in contexts})
    association = entity.associate("127.0.0.1", port, ae_title=called, ext_neg=items)
    if not association.is_established:
        raise SystemExit("no association")
    accepted = {(str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in association.accepted_contexts}
    for number, file in enumerate(batch):
        if (file["class"], file["syntax"]) in accepted:
            file["status"] = store(association, file, number % 65535 + 1)
        else:
            file["status"] = "not accepted"
        print(json.dumps(file), flush=True)
    association.release()


def main():
    port, called = int(sys.argv[1]), sys.argv[2]
    files = [file for file in map(describe, map(Path, sys.argv[3:])) if file]
    for batch, contexts in batches(files):
        send(port, called, batch, contexts)


if __name__ == "__main__":
    main()
