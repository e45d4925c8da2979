"""Sends inputs that break the rules of DICOM to an archive, each by C-STORE and by STOW-RS and each followed by a good
instance on the same association or in the same request, and prints one JSON line an input and door.

    hostile.py HTTP_URL DIMSE_PORT CALLED_AE

A line: {"name", "door", "status", "reason", "other", "alone", "offending", "comment", "good", "sop"}; "reason" are the
codes of Failed SOP Sequence, "other" those of Other Failures Sequence, "alone" the status that the input gets where nothing
good comes with it; "good" is the status of the good instance behind. The last lines are {"found": [SOP Instance UIDs]} and {"metadata": {name: text}}.
"""

import io
import json
import struct
import sys
import zlib

import requests
from pydicom.uid import UID
from pynetdicom import _config, build_context, dimse_primitives
from pynetdicom.dimse_primitives import C_STORE

from requestor import requestor

_config.ENFORCE_UID_CONFORMANCE = False
# Its own keeps UIDs to 64 characters.
dimse_primitives.set_uid = lambda value, *_: UID(value, validation_mode=0)
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT, IMPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
ROOT = "1.2.826.0.1.3680043.10.9999"
NAME = "Secretname^Hostile"
LONG = {"OB", "OW", "SQ", "UN", "UT", "OF", "UC", "UR"}


def element(tag, vr, value, length=None):
    value = value if isinstance(value, bytes) else value.encode("latin-1")
    value += (b"\0" if vr in ("UI", "OB", "UN") else b" ") * (len(value) % 2)
    length = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    head += struct.pack("<HI", 0, length) if vr in LONG else struct.pack("<H", length)
    return head + value


def implicit(tag, value, length=None):
    length = len(value) if length is None else length
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, length) + value


def data_set(sop, study=ROOT + ".1", series=ROOT + ".2", charset="ISO_IR 100", name=NAME, middle=b"", tail=b"", replace=()):
    elements = {
        0x00080005: element(0x00080005, "CS", charset),
        0x00080016: element(0x00080016, "UI", CT),
        0x00080018: element(0x00080018, "UI", sop),
        0x00080060: element(0x00080060, "CS", "CT"),
        0x00100010: element(0x00100010, "PN", name),
        0x00100020: element(0x00100020, "LO", "HOSTILE"),
        0x0020000D: element(0x0020000D, "UI", study) if study is not None else b"",
        0x0020000E: element(0x0020000E, "UI", series) if series is not None else b"",
    }
    elements.update(replace)
    ordered = b"".join(elements[tag] for tag in sorted(elements) if tag < 0x00200000)
    placed = b"".join(elements[tag] for tag in sorted(elements) if tag >= 0x00200000)
    return ordered + middle + placed + tail


def file_of(body, sop, syntax, meta_sop=None, meta_class=CT):
    meta = element(0x00020001, "OB", b"\0\1") + element(0x00020002, "UI", meta_class)
    meta += element(0x00020003, "UI", meta_sop or sop) + element(0x00020010, "UI", syntax)
    meta += element(0x00020012, "UI", ROOT)
    return b"\0" * 128 + b"DICM" + element(0x00020000, "UL", struct.pack("<I", len(meta))) + meta + body


def deflated(body):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(body) + packer.flush()


def bomb(sop):
    """512 MiB of zeros."""
    mib, count = b"\0" * (1 << 20), 512
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = data_set(sop, tail=element(0x7FE00010, "OB", b"", count << 20))
    return packer.compress(start) + b"".join(packer.compress(mib) for _ in range(count)) + packer.flush()


def many_elements(sop):
    groups = range(0x1001, 0x1015, 2)
    one = [struct.pack("<HH2sH", group, number, b"LO", 2) + b"A " for group in groups for number in range(0x1000, 0x1000 + 50_000)]
    return data_set(sop, tail=b"".join(one))


def deep(sop, depth=200_000):
    sequence = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    return data_set(sop, tail=sequence * depth)


def cut_at(cut, whole):
    return whole[: cut(whole)]


def inputs(sop):
    """Name, data set, and what is said of it: syntax, instance and class of the command, instance and class of the meta group."""
    yield "uid-over-64", (lambda s: data_set(s, study=ROOT + ".7" * 40, series=ROOT + ".8" * 40)), {}
    yield "uid-with-path", (lambda s: data_set(s, study="../../../../../escape", series="../escape")), {}
    yield "uid-with-control", (lambda s: data_set(s, study="1.2\r\n\x1b[31m.3", series="1.2\x07.4")), {}
    yield "uid-leading-zeros", (lambda s: data_set(s, study="1.02.003", series="1.02.003.04")), {}
    yield "sop-over-64", (lambda s: data_set(s)), {"sop": sop + ".9" * 40}
    yield "sop-with-path", (lambda s: data_set(s)), {"sop": "../../escape/" + sop}
    yield "deep", deep, {}
    for tag, vr in [(0x00400555, "SQ"), (0x7FE00010, "OB"), (0x00420011, "UN")]:
        yield f"length-fffffffe-{vr}", (lambda s, t=tag, v=vr: data_set(s, tail=element(t, v, b"\0" * 16, 0xFFFFFFFE))), {}
    yield "item-length-fffffffe", (lambda s: data_set(s, tail=element(0x00400555, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFE) + b"\0" * 16, 0xFFFFFFFF))), {}
    yield "claims-4-gib", (lambda s: data_set(s, tail=element(0x7FE00010, "OW", b"\0" * 16, 0xFFFFFFF0))), {}
    yield "claims-4-gib-of-name", (lambda s: data_set(s, middle=element(0x00104000, "UT", "x" * 16, 0xFFFFFFF0))), {}
    yield "deflate-bomb", bomb, {"syntax": DEFLATED}
    yield "deflate-garbage", (lambda s: b"\xff" * 500), {"syntax": DEFLATED}
    yield "deflate-truncated", (lambda s: deflated(data_set(s))[:-40]), {"syntax": DEFLATED}
    yield "many-elements", many_elements, {}
    yield "wrong-vr", (lambda s: data_set(s, tail=element(0x00280010, "ST", "sixteen") + element(0x00280011, "DA", "\0\1"), replace={0x00100020: element(0x00100020, "FD", b"\xff" * 7), 0x00080060: element(0x00080060, "SQ", b"")})), {}
    yield "command-other-instance", (lambda s: data_set(s)), {"command_sop": sop + ".77"}
    yield "command-other-class", (lambda s: data_set(s)), {"command_class": MR}
    yield "meta-other", (lambda s: data_set(s)), {"meta_sop": sop + ".78", "meta_class": MR}
    yield "charset-unknown", (lambda s: data_set(s, charset="ISO_IR 999", name=b"Secretname^\xc4\xd6")), {}
    yield "charset-mixed", (lambda s: data_set(s, charset="ISO_IR 192\\ISO 2022 IR 87", name=b"Secretname^\xff\xfe\x1b$B\x80")), {}
    yield "no-study", (lambda s: data_set(s, study=None)), {}
    yield "empty-study", (lambda s: data_set(s, study="")), {}
    yield "no-series", (lambda s: data_set(s, series=None)), {}
    yield "not-dicom-text", (lambda s: b"Dear Sir, this is no data set of Secretname^Hostile at all."), {"bare": True}
    yield "not-dicom-picture", (lambda s: b"\x89PNG\r\n\x1a\n" + b"\x13" * 90), {"bare": True}
    yield "not-dicom-empty", (lambda s: b""), {"bare": True}
    cuts = {
        "tag": lambda whole: 3,
        "first-value": lambda whole: 12,
        "name": lambda whole: whole.index(b"Secretname") + 4,
        "pixel-head": lambda whole: len(whole) - 128 - 6,
        "pixels": lambda whole: len(whole) - 128 + 50,
    }
    for where, cut in cuts.items():
        yield f"truncated-{where}", (lambda s, c=cut: cut_at(c, data_set(s, tail=element(0x7FE00010, "OW", b"\1\2" * 64)))), {}


class CStore:
    def __init__(self, port, called):
        contexts = [build_context(sop_class, [syntax]) for sop_class in (CT, MR) for syntax in (EXPLICIT, DEFLATED)]
        self.number = 0
        self.association = requestor().associate("127.0.0.1", port, contexts=contexts, ae_title=called)
        if not self.association.is_established:
            raise SystemExit("no association")
        contexts = self.association.accepted_contexts
        self.contexts = {(str(c.abstract_syntax), str(c.transfer_syntax[0])): c.context_id for c in contexts}

    def send(self, body, sop, sop_class=CT, syntax=EXPLICIT):
        self.number += 1
        request = C_STORE()
        request.MessageID, request.AffectedSOPClassUID, request.Priority = self.number, sop_class, 2
        request.AffectedSOPInstanceUID = sop
        request.DataSet = io.BytesIO(body)
        self.association.dimse.send_msg(request, self.contexts[sop_class, syntax])
        _, answer = self.association.dimse.get_msg(block=True)
        if answer is None:
            raise SystemExit("the association is gone")
        return f"{answer.Status:04X}", str(answer.OffendingElement or ""), answer.ErrorComment or ""


class Stow:
    def __init__(self, url):
        self.url, self.session = url, requests.Session()

    def post(self, body, content_type):
        headers = {"Content-Type": content_type, "Accept": "application/dicom+json"}
        return self.session.post(f"{self.url}/studies", data=body, headers=headers)

    def send(self, parts):
        body = b"".join(b"--limit\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts)
        answer = self.post(body + b"--limit--\r\n", 'multipart/related; type="application/dicom"; boundary=limit')
        text = answer.json() if "json" in answer.headers.get("Content-Type", "") else {}
        kept = text.get("00081199", {}).get("Value", [])
        reasons, others = [
            [f"{item['00081197']['Value'][0]:04X}" for item in text.get(tag, {}).get("Value", [])]
            for tag in ("00081198", "0008119A")
        ]
        return answer, reasons, others, [item["00081155"]["Value"][0] for item in kept]


def show(**line):
    print(json.dumps(line), flush=True)


def good(number):
    sop = f"{ROOT}.5.{number}"
    return sop, data_set(sop, name="Fine^Good")


def by_c_store(store):
    for number, (name, make, said) in enumerate(list(inputs(ROOT))):
        sop = said.get("sop", ROOT) + f".3.{number}"
        body = make(sop)
        if not body:
            # A peer that announces a data set and sends none is waited for.
            continue
        command_sop = sop + ".77" if "command_sop" in said else sop
        status, offending, comment = store.send(body, command_sop, said.get("command_class", CT), said.get("syntax", EXPLICIT))
        next_sop, next_body = good(2 * number + 1)
        next_status, _, _ = store.send(next_body, next_sop)
        show(name=name, door="c-store", status=status, offending=offending, comment=comment, good=next_status, sop=sop)


def by_stow(stow):
    for number, (name, make, said) in enumerate(list(inputs(ROOT))):
        sop = said.get("sop", ROOT) + f".4.{number}"
        body = make(sop)
        meta = (sop + ".78" if "meta_sop" in said else sop)[-64:]
        whole = body if "bare" in said else file_of(body, sop, said.get("syntax", EXPLICIT), meta, said.get("meta_class", CT))
        next_sop, next_body = good(2 * number)
        answer, reasons, others, kept = stow.send([whole, file_of(next_body, next_sop, EXPLICIT)])
        alone = ""
        if reasons or others:
            again, reasons_again, others_again, _ = stow.send([whole])
            alone = str(again.status_code)
            if (reasons, others) != (reasons_again, others_again):
                alone += f" {reasons_again} {others_again}"
        show(name=name, door="stow", status=str(answer.status_code), reason=reasons, other=others, alone=alone,
             comment=answer.headers.get("Warning", ""), good="0000" if next_sop in kept else "lost", sop=sop)


def by_broken_multipart(stow):
    sop, body = good(99_999)
    part = b"--limit\r\nContent-Type: application/dicom\r\n\r\n" + file_of(body, sop, EXPLICIT) + b"\r\n--limit--\r\n"
    typed = 'multipart/related; type="application/dicom"'
    cases = [
        ("multipart-no-boundary-named", typed, part),
        ("multipart-empty-boundary", typed + '; boundary=""', part),
        ("multipart-long-boundary", typed + "; boundary=" + "b" * 5000, part),
        ("multipart-boundary-never-comes", typed + "; boundary=other", part),
        ("multipart-no-bytes", typed + "; boundary=limit", b""),
        ("multipart-headers-never-end", typed + "; boundary=limit", b"--limit\r\n" + b"X-Header: Secretname\r\n" * 20_000),
        ("multipart-of-text", 'multipart/related; type="text/plain"; boundary=limit', part),
    ]
    for name, content_type, body in cases:
        answer = stow.post(body, content_type)
        show(name=name, door="multipart", status=str(answer.status_code), comment=answer.text[:300])


def main():
    url, port, called = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    store = CStore(port, called)
    try:
        by_c_store(store)
    finally:
        # A thread of its own would keep the script alive.
        store.association.abort()
    stow = Stow(url)
    by_stow(stow)
    by_broken_multipart(stow)
    # Broken requests leave the next whole one unharmed.
    sop, body = good(100_000)
    answer, _, _, kept = stow.send([file_of(body, sop, EXPLICIT)])
    show(name="good-at-the-end", door="stow", status=str(answer.status_code), sop=sop, good="0000" if sop in kept else "lost")
    found = stow.session.get(f"{url}/instances?limit=1000", headers={"Accept": "application/dicom+json"}).json()
    show(found=[{key: item[tag]["Value"][0] for key, tag in [("sop", "00080018"), ("study", "0020000D")]} for item in found])
    metadata = stow.session.get(f"{url}/studies/{ROOT}.1/metadata", headers={"Accept": "application/dicom+json"}).json()
    show(names={item["00080018"]["Value"][0]: item.get("00100010", {}).get("Value", [{}])[0].get("Alphabetic") for item in metadata})


if __name__ == "__main__":
    main()
