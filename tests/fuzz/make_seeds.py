#!/usr/bin/env python3
"""Makes the seed inputs of the fuzz targets, tests/fuzz/seeds/<target>/<name>: small, synthetic, the same every time.

What the first bytes of an input mean is said in tests/fuzz/targets/src/<target>.rs. Files that begin with `found-` are inputs
that once broke something; this script leaves them alone. Needs Python 3.8 and zstd."""
import json
import pathlib
import struct
import subprocess

here = pathlib.Path(__file__).resolve().parent
root = here.parent.parent
golden = root / "archive-core/tests/golden"
LONG = {b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC", b"UR"}


def seed(target, name, *parts):
    folder = here / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"".join(parts))


def element(group, number, vr, value, form="little", length=None):
    end = ">" if form == "big" else "<"
    if len(value) % 2:
        value += b"\0" if vr in (b"UI", b"OB") else b" "
    length = len(value) if length is None else length
    head = struct.pack(end + "HH", group, number)
    if form == "implicit" or group == 0xFFFE:
        head += struct.pack(end + "I", length)
    elif vr in LONG:
        head += vr + b"\0\0" + struct.pack(end + "I", length)
    else:
        head += vr + struct.pack(end + "H", length)
    return head + value


def item(content, form="little", undefined=False):
    if undefined:
        return element(0xFFFE, 0xE000, b"", content, form, 0xFFFFFFFF) + element(0xFFFE, 0xE00D, b"", b"", form)
    return element(0xFFFE, 0xE000, b"", content, form)


def sequence(group, number, items, form="little", undefined=False):
    if undefined:
        return element(group, number, b"SQ", items, form, 0xFFFFFFFF) + element(0xFFFE, 0xE0DD, b"", b"", form)
    return element(group, number, b"SQ", items, form)


def data_set(form="little", pixels=None, frames=b"2"):
    number = struct.Struct(">H" if form == "big" else "<H").pack
    out = element(8, 5, b"CS", b"ISO_IR 100", form)
    out += element(8, 0x16, b"UI", b"1.2.840.10008.5.1.4.1.1.7", form)
    out += element(8, 0x18, b"UI", b"1.2.3.4", form)
    out += element(8, 0x20, b"DA", b"20240229", form)
    out += element(8, 0x60, b"CS", b"OT", form)
    nested = element(8, 0x1155, b"UI", b"1.2.3.9", form)
    deeper = sequence(0x0040, 0xA170, item(element(8, 0x104, b"LO", b"meaning", form), form), form)
    out += sequence(8, 0x1140, item(nested + deeper, form) + item(nested, form, True), form, True)
    out += element(0x10, 0x10, b"PN", "Doe^Zoë".encode("latin-1"), form)
    out += element(0x10, 0x20, b"LO", b"4711", form)
    out += element(0x20, 0xD, b"UI", b"1.2.3.1", form)
    out += element(0x20, 0xE, b"UI", b"1.2.3.2", form)
    out += element(0x20, 0x13, b"IS", b"1", form)
    out += element(0x28, 2, b"US", number(1), form) + element(0x28, 8, b"IS", frames, form)
    for at, value in ((0x10, 4), (0x11, 4), (0x100, 8), (0x101, 8), (0x102, 7), (0x103, 0)):
        out += element(0x28, at, b"US", number(value), form)
    out += element(0x41, 0x10, b"LO", b"SYNTHETIC", form) + element(0x41, 0x1001, b"UN", b"\7" * 9, form)
    return out + (element(0x7FE0, 0x10, b"OW", bytes(range(32)), form) if pixels is None else pixels)


def meta(syntax):
    group = element(2, 1, b"OB", b"\0\1") + element(2, 2, b"UI", b"1.2.840.10008.5.1.4.1.1.7")
    group += element(2, 3, b"UI", b"1.2.3.4") + element(2, 0x10, b"UI", syntax)
    return element(2, 0, b"UL", struct.pack("<I", len(group))) + group


def encapsulated(*fragments, table=b""):
    items = b"".join(item(fragment) for fragment in (table, *fragments))
    end = element(0xFFFE, 0xE0DD, b"", b"")
    return element(0x7FE0, 0x10, b"OB", items, length=0xFFFFFFFF) + end


def scanner():
    part10 = b"\0" * 128 + b"DICM"
    jpeg = data_set(pixels=encapsulated(b"\xff\xd8ab\xff\xd9", b"\xff\xd8cd\xff\xd9", table=struct.pack("<II", 0, 14)))
    seed("scanner", "file-explicit", b"\0\1\0", part10, meta(b"1.2.840.10008.1.2.1"), data_set())
    seed("scanner", "file-implicit", b"\0\1\0", part10, meta(b"1.2.840.10008.1.2"), data_set("implicit"))
    seed("scanner", "file-big", b"\0\1\0", part10, meta(b"1.2.840.10008.1.2.2"), data_set("big"))
    seed("scanner", "file-encapsulated", b"\0\1\0", part10, meta(b"1.2.840.10008.1.2.4.50"), jpeg)
    seed("scanner", "file-no-preamble", b"\0\2\0", meta(b"1.2.840.10008.1.2.1"), data_set())
    seed("scanner", "file-bare", b"\0\3\1", data_set())
    seed("scanner", "set-implicit", b"\x08\4\0", data_set("implicit"))
    seed("scanner", "set-explicit", b"\x09\4\2", data_set())
    seed("scanner", "set-big", b"\x0a\4\0", data_set("big"))
    seed("scanner", "set-deflated", b"\x29\5\0", data_set())
    extended = element(0x7FE0, 1, b"OB", struct.pack("<QQ", 0, 14)) + element(0x7FE0, 2, b"OB", struct.pack("<QQ", 6, 6))
    seed("scanner", "set-extended-table", b"\x0c\6\0", data_set(pixels=extended + encapsulated(b"abcdef", b"ghijkl")))
    one_frame = data_set(pixels=encapsulated(b"ab", b"cd", b"ef"), frames=b"1")
    seed("scanner", "set-one-frame-of-three", b"\x0c\0\0", one_frame)


def dicom_json():
    def value(tag, vr, text):
        return bytes([tag, vr, len(text)]) + text

    seed("dicom_json", "texts", b"\1\0", value(4, 18, b"Doe^Jane"), value(3, 10, b"a\\b\\"), value(1, 4, b"20240229"))
    seed("dicom_json", "japanese", b"\4\0", value(4, 18, b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"))
    seed("dicom_json", "utf8", b"\2\0", value(4, 18, "Müller^Jörg=山田^太郎".encode()), value(3, 19, b"\xff\xfe"))
    numbers = value(8, 9, b"+007\\-1e3 ") + value(10, 5, b"1.5\\.5\\nan") + value(9, 30, b"\1\0\2\0")
    seed("dicom_json", "numbers", b"\0\0", numbers, value(6, 7, struct.pack("<d", float("nan"))), value(14, 2, b"\x10\0\x20\0"))
    seed("dicom_json", "numbers-big", b"\0\1", numbers, value(6, 8, struct.pack(">f", 1.25)))
    nested = b"\xc1" + value(2, 3, b"CT") + b"\xe0" + value(2, 3, b"MR") + b"\xc2" + value(4, 18, b"A^B") + b"\xf0\xf0"
    seed("dicom_json", "nested", b"\0\0", nested, value(3, 10, b"after"))
    seed("dicom_json", "deep", b"\0\0", b"\xc1" * 40, value(4, 18, b"A^B"), b"\xf0" * 40)
    seed("dicom_json", "bulk", b"\0\0", bytes([12, 12, 0xC4]) + b"bulk", bytes([12, 17, 0xC2]) + b"xy", bytes([3, 31, 0xC1]) + b"t")
    seed("dicom_json", "token", b"\0\0", value(3, 10, b"@vellum-instance-url@!"), value(3, 10, b'"\\\x01'))


def charset():
    samples = {
        "latin": (1, 3, "Buc^Jérôme".encode("latin-1")),
        "greek": (5, 3, "Διονυσιος".encode("iso8859-7")),
        "thai": (10, 0, "นามสกุล".encode("iso8859-11")),
        "utf8": (13, 3, "Wang^XiaoDong=王^小東".encode()),
        "gb18030": (14, 3, "Wang^XiaoDong=王^小东=".encode("gb18030")),
        "japanese": (17, 3, b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"),
        "katakana": (18, 3, b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J"),
        "korean": (19, 3, b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"),
        "chinese": (20, 2, b"1.\x1b$)A\xb5\xda\xd2\xbb\r\n2.\x1b$)A\xb5\xda\xb6\xfe\r\n"),
        "mixed": (16, 0, b"\xe4\x1b-L\xbb\xee\\x\x1b-A\xe4"),
        "terms": (0xF0, 1, b"ISO 2022 IR 6\\iso-ir 149\n\x1b$)C\xc8\xab\\a"),
        "values": (0, 0, b" a \\ b\\\\c "),
    }
    for name, (terms, kind, text) in samples.items():
        seed("charset", name, bytes([terms, kind]), text)


def multipart():
    body = b"preamble\r\n--b\r\nContent-Type: application/dicom\r\n\r\none\r\n--b \t\r\n\r\n\r\n--b\r\nX: y\r\n\tfolded\r\n\r\n\r\n-\r\n--b--"
    seed("multipart", "three-parts", b"\x30\3", body)
    seed("multipart", "cut", b"\x30\0", body[:-3])
    seed("multipart", "dashes", b"\x11\1", body.replace(b"--b", b"----"))
    seed("multipart", "bad-header", b"\x30\2", b"--b\r\nno colon\r\n\r\n--b--")
    seed("multipart", "together", b"\x80\5", b"one\0\r\n--\0\r\n-\0\0two\r\n")
    seed("multipart", "together-long", b"\x83\0", b"a" * 80 + b"\0\r\n--0123456789")


def qido():
    queries = [
        "PatientName=Doe*&StudyDate=20240101-20241231&limit=5&offset=2&includefield=all",
        "00100010=doe%5Ejane&fuzzymatching=true&StudyTime=2300-",
        "StudyInstanceUID=1.2.3,1.2.4&0020000D=1.2.5&includefield=00081030,PatientSex",
        "RequestAttributesSequence.ScheduledProcedureStepID=7&ModalitiesInStudy=CT\\MR",
        "AccessionNumber=*a?*a?*a?*&InstanceNumber=7&SeriesNumber=x&StudyDate=-",
        "limit=-1", "PatientNam=x", "PatientID=%FF", "=", "includefield=,,&&&Accept=x", "PatientID=\\\\%5C*&00100020=",
    ]
    for number, query in enumerate(queries):
        seed("qido", f"query-{number:02}", bytes([number % 8]), query.encode())


def pdu():
    def pdu_of(kind, body):
        return bytes([kind, 0]) + struct.pack(">I", len(body)) + body

    def sub(kind, value):
        return bytes([kind, 0]) + struct.pack(">H", len(value)) + value

    def counted(value):
        return struct.pack(">H", len(value)) + value

    user = sub(0x51, struct.pack(">I", 16384)) + sub(0x52, b"1.2.3") + sub(0x55, b"SYNTHETIC") + sub(0x53, b"\0\1\0\1")
    user += sub(0x54, counted(b"1.2.840.10008.1.1") + b"\1\0") + sub(0x56, counted(b"1.2.3") + b"\1")
    user += sub(0x57, counted(b"1.2.3.4") + counted(b"1.2.840.10008.4.2") + counted(counted(b"1.2.3")))
    user += sub(0x58, b"\2\1" + counted(b"user") + counted(b"secret"))
    contexts = b"".join(
        sub(0x20, bytes([number, 0, 0, 0]) + sub(0x30, name) + sub(0x40, b"1.2.840.10008.1.2") + sub(0x40, b"1.2.840.10008.1.2.1"))
        for number, name in ((1, b"1.2.840.10008.1.1"), (3, b"1.2.840.10008.5.1.4.1.1.7"), (5, b"1.2.3.4"))
    )
    fixed = b"\0\1\0\0" + b"VELLUM".ljust(16) + b"SENDER".ljust(16) + b"\0" * 32
    request = pdu_of(1, fixed + sub(0x10, b"1.2.840.10008.3.1.1.1") + contexts + sub(0x50, user))
    answer = sub(0x21, b"\1\0\0\0" + sub(0x40, b"1.2.840.10008.1.2")) + sub(0x21, b"\3\0\4\0" + sub(0x40, b""))
    accept = pdu_of(2, fixed + sub(0x10, b"1.2.840.10008.3.1.1.1") + answer + sub(0x50, sub(0x51, b"\0\0\x40\0")))
    values = pdu_of(4, struct.pack(">IBB", 6, 1, 3) + b"abcd" + struct.pack(">IBB", 2, 1, 0)) + pdu_of(4, struct.pack(">IBB", 5, 3, 2) + b"xyz")
    short = pdu_of(3, b"\0\1\1\7") + pdu_of(5, b"\0" * 4) + pdu_of(6, b"\0" * 4) + pdu_of(7, b"\0\0\2\6")
    seed("pdu", "request", b"\0\3", request)
    seed("pdu", "accept", b"\0\0", accept)
    seed("pdu", "values", b"\1\2", values)
    seed("pdu", "short", b"\2\1", short)
    seed("pdu", "conversation", b"\2\4", request, values, pdu_of(5, b"\0" * 4))
    seed("pdu", "http", b"\0\1", b"GET / HTTP/1.1\r\n\r\n")


def dimse():
    def command(*elements):
        body = b"".join(struct.pack("<HHI", 0, number, len(value)) + value for number, value in elements)
        return struct.pack("<HHII", 0, 0, 4, len(body)) + body

    word = struct.Struct("<H").pack
    uid = b"1.2.840.10008.5.1.4.1.1.7\0"
    store = [(2, uid), (0x100, word(1)), (0x110, word(7)), (0x700, word(0)), (0x800, word(1)), (0x1000, b"1.2.3.4\0")]
    seed("dimse", "store", command(*store))
    seed("dimse", "echo", command((2, b"1.2.840.10008.1.1\0"), (0x100, word(0x30)), (0x110, word(1)), (0x800, word(0x101))))
    seed("dimse", "cancel", command((0x100, word(0xFFF)), (0x120, word(3)), (0x800, word(0x101))))
    seed("dimse", "response", command((0x100, word(0x8001)), (0x120, word(3)), (0x800, word(0x101)), (0x900, word(0))))
    seed("dimse", "twice", command(*store, (0x110, word(8))))
    seed("dimse", "odd", command(*store, (0x1031, b"odd")))


def journal():
    segment = (golden / "journal-1/segment-0000000001.journal").read_bytes()
    for name, form in (("golden", 0), ("golden-made-good", 1), ("golden-other-segments", 3)):
        seed("journal", name, bytes([form]), segment)
    seed("journal", "no-content", b"\1", segment[:4096], segment[8192:])
    seed("journal", "torn", b"\0", segment[:8200])


def edits(*list_of_edits):
    return b"".join(struct.pack(">BHBB", *edit) for edit in list_of_edits)


def journal_folder():
    for name, list_of_edits in {
        "flip-in-content": [(0, 0x4200, 0, 3)],
        "flip-in-commit": [(0, 0x4700, 0, 1)],
        "cut-in-the-last-batch": [(0, 0xC100, 2, 0)],
        "head-zeroed": [(0, 0, 3, 9)],
        "spill-cut": [(1, 0x8000, 2, 0)],
        "spill-flip-and-repeat": [(1, 0x100, 0, 7), (0, 0x4000, 4, 64)],
        "longer": [(0, 0xFFFF, 5, 0xAA)],
    }.items():
        for form in range(3):
            seed("journal_folder", f"{name}-{form}", bytes([form]), edits(*list_of_edits))


def pack():
    for name, list_of_edits in {
        "nothing": [],
        "flip-in-a-member": [(0, 0x0900, 0, 3)],
        "flip-in-the-root": [(0, 0xE500, 0, 1)],
        "flip-in-the-index": [(0, 0xD000, 0, 1)],
        "cut": [(0, 0x8000, 2, 0)],
        "without-its-end": [(0, 0xFF00, 2, 0)],
        "run-taken-out": [(0, 0x4000, 6, 12)],
    }.items():
        for form in range(3):
            seed("pack", f"{name}-{form}", bytes([form]), edits(*list_of_edits))
    seed("pack", "a-header-alone", b"\3", (golden / "pack-1.zip").read_bytes()[:480])
    seed("pack", "an-end-alone", b"\3", (golden / "pack-1.zip").read_bytes()[-300:])


def pack_index():
    receipt = {"number": "1:1", "time": "2026-01-01T00:00:00Z", "door": "c-store", "source": "SENDER", "rule": "same-source-replaces", "bare": True}
    line = {
        "line": 0, "series": "1.2.3.4", "sop": "1.2.3.5", "class": "1.2.840.10008.5.1.4.1.1.7", "syntax": "1.2.840.10008.1.2.1",
        "content": "00" * 32, "content_length": 16, "frame_count": 1, "scanner": 1, "warnings": [{"code": "odd", "tag": "00100010", "offset": 3}],
        "attributes": {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]}}, "receipts": [receipt],
    }
    digest = "00" * 16
    place = {"name": "1.2.3.5.dcm", "method": 0, "offset": 0, "stored": 16, "length": 16, "prefix": ""}
    inline = dict(place, units=[[0, 4, 0, 4, digest, "h"], [4, 12, 4, 12, digest, "b"]], fragments=[[4, 12]], frames=[[0, 1]])
    table = {"units": {"block": 0, "rows": 1}, "fragments": {"block": 1, "rows": 1}, "frames": {"block": 2, "rows": 2}}
    tables = dict(place, tables=table)

    def text(*lines):
        return b"\n".join(json.dumps(line, separators=(",", ":")).encode() for line in lines)

    binary = struct.pack("<QQIIQQ", 0, 0, 16, 16, 0, 0) + b"\0" * 24
    header = b'{"00100010":{"vr":"PN"}}'
    seed("pack_index", "inline", b"\0", text(dict(line, member=inline)), b"\xff", header, b"\xff", binary)
    seed("pack_index", "tables", b"\0", text(dict(line, member=tables)), b"\xff", header, b"\xff", binary)
    second = dict(line, line=1, inflated=True, member=dict(inline, fragments=[[99, 9]]))
    seed("pack_index", "two", b"\0", text(dict(line, member=inline), second), b"\xff", header, b"\n", header, b"\xff", binary)
    filed = dict(receipt, prefix="AAAA", file={"sha256": "00" * 32, "size": 19})
    filed.pop("bare")
    seed("pack_index", "receipts-only", b"\0", text(dict(line, receipts=[filed])), b"\xff\xff", binary)
    prefixed = dict(inline, prefix="RElDTQ==", length=20, units=[[0, 20, 0, 20, digest, "h"]], stored=20)
    seed("pack_index", "prefix", b"\0", text(dict(line, member=prefixed)), b"\xff\xff", binary)
    part = {"offset": 0, "stored": 8, "length": 8, "sha256": "00" * 32}
    of_lines = {"method": 93, "units": [dict(part, series="1.2.3.4", first=0, count=1)]}
    whole = {
        "vellum": "pack", "format": 1, "features": [], "nonce": digest, "study": "1.2.3", "versions": 1, "contents": 1, "receipts": 1,
        "content_bytes": 16, "index": of_lines, "metadata": of_lines, "frames": {"method": 93, "blocks": [dict(part, first=0)]},
    }
    seed("pack_index", "root", b"\1", text(whole), b"\xff\xff", binary)
    seed("pack_index", "root-newer", b"\1", text(dict(whole, format=2)), b"\xff\xff", binary)


def ledger():
    objects = sorted((golden / "ledger-1/ledger").rglob("*.zst"))
    for number, path in enumerate(objects):
        seed("ledger", f"object-{number}", b"\0", path.read_bytes())
        lines = subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout
        seed("ledger", f"text-{number}", b"\1", b"\n".join(lines.splitlines()[:-1]))
        if number == 0:
            seed("ledger", "note", b"\3", json.loads(lines.splitlines()[-1])["checkpoint"].encode())
    kinds = set()
    for line in (golden / "ledger-1/entries.jsonl").read_bytes().splitlines():
        kind = json.loads(line)["kind"]
        if kind not in kinds:
            kinds.add(kind)
            seed("ledger", f"line-{kind}", b"\2", line)
    for name, list_of_edits in {
        "nothing": [],
        "flip": [(1, 0x8000, 0, 3)],
        "cut": [(4, 0x8000, 2, 0)],
        "last-byte": [(0, 0xFFFF, 0, 1)],
        "two": [(2, 0x1000, 1, 0), (3, 0x9000, 6, 4)],
    }.items():
        seed("ledger", f"damaged-{name}", b"\4", edits(*list_of_edits))


for make in (scanner, dicom_json, charset, multipart, qido, pdu, dimse, journal, journal_folder, pack, pack_index, ledger):
    make()
