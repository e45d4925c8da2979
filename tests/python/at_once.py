"""Sends one file over many connections at once, each of its own, and prints a JSON line with all answers.

    at_once.py c-store PORT CALLED_AE COUNT FILE
    at_once.py stow    URL            COUNT FILE
"""
import json
import sys
import threading
import uuid
from pathlib import Path

import requests
from pynetdicom import _config, build_context
from pynetdicom.dsutils import split_dataset

from requestor import requestor

_config.STORE_SEND_CHUNKED_DATASET = True


def at_once(count, prepare, send):
    """All are connected before the first sends."""
    ready, answers = threading.Barrier(count), [None] * count

    def one(number):
        connection = prepare()
        ready.wait()
        answers[number] = send(connection)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def c_store(port, called, count, path):
    meta, _ = split_dataset(Path(path))
    context = build_context(meta.MediaStorageSOPClassUID, [meta.TransferSyntaxUID])

    def connect():
        return requestor().associate("127.0.0.1", int(port), contexts=[context], ae_title=called)

    def send(association):
        status = association.send_c_store(Path(path))
        association.release()
        return f"{status.Status:04X}" if "Status" in status else "no answer"

    return at_once(int(count), connect, send)


def stow(url, count, path):
    boundary = uuid.uuid4().hex
    start = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = start + Path(path).read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Accept": "application/dicom+json",
    }

    def connect():
        session = requests.Session()
        session.get(f"{url}/studies?limit=1", headers={"Accept": "application/dicom+json"})
        return session

    def send(session):
        return str(session.post(f"{url}/studies", data=body, headers=headers).status_code)

    return at_once(int(count), connect, send)


if __name__ == "__main__":
    door = {"c-store": c_store, "stow": stow}[sys.argv[1]]
    print(json.dumps(door(*sys.argv[2:])))
