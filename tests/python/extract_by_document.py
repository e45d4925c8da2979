"""Reads, checks and extracts what Vellum keeps, written from docs/FORMAT.md alone.

It shares no line with the program and follows the text of that document, chapter by chapter, so that a test can prove
that the document suffices. Whoever finds that this script had to guess has found a gap in the document.

    extract_by_document.py store STORE [--to FOLDER]      checks a store; extracts every file of every version
    extract_by_document.py pack FILE… [--any-name]        checks packs alone, without a ledger
    extract_by_document.py members FILE                   where the members of a pack lie
    extract_by_document.py ledger FOLDER                  checks a ledger that has no archive.json beside it
    extract_by_document.py journal FOLDER [--to FOLDER]   lists, checks and extracts unsealed instances

Printed are lines of fields between tabs: `file <sha256> <size> <study> <sop> <where>` for each file that was proven,
`damage <object> <what>` for each finding, `note <object> <what>` for what is odd and allowed.
Exit code: 0 all is well, 1 there is damage, 2 the command line is wrong.
"""

import argparse
import base64
import hashlib
import json
import mmap
import os
import re
import struct
import sys
import zlib

import blake3
import zstandard

FOUR_MIB = 4 * 1024 * 1024
OVERFLOW_32 = 0xFFFFFFFF


class Damage(Exception):
    """Bytes that are not what the document says."""


class Report:
    """What was found, printed as it is found."""

    def __init__(self):
        self.damaged = 0

    def damage(self, thing, what):
        self.damaged += 1
        print(f"damage\t{thing}\t{what}")

    def note(self, thing, what):
        print(f"note\t{thing}\t{what}")

    def file(self, digest, size, study, sop, where):
        print(f"file\t{digest}\t{size}\t{study}\t{sop}\t{where}")

    def guarded(self, thing, work, *arguments):
        """Runs a check; what goes wrong in it is damage of the thing. Gives None then."""
        try:
            return work(*arguments)
        except Damage as error:
            self.damage(thing, str(error))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, struct.error, RecursionError,
                zstandard.ZstdError, OSError) as error:
            self.damage(thing, f"cannot be read: {type(error).__name__}: {error}")
        return None


def require(holds, what):
    if not holds:
        raise Damage(what)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# --- Names, JSON, zstd -------------------------------------------------------------------------------------------

def name_of(uid):
    """Chapter Names: the form of a UID that may be part of a name."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)*", uid) and len(uid) <= 64:
        return uid
    return "x-" + sha256(uid.encode("utf-8"))[:32]


def no_twins(pairs):
    members = dict(pairs)
    require(len(members) == len(pairs), "a member stands twice in an object")
    return members


def parse(data):
    try:
        return json.loads(bytes(data).decode("utf-8"), object_pairs_hook=no_twins)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Damage(f"no JSON: {error}") from error


def one_frame(stored, length, what):
    """Decompresses exactly one zstd frame with content size and content checksum, of `length` bytes."""
    stored = bytes(stored)
    try:
        header = zstandard.get_frame_parameters(stored)
        require(header.content_size == length, f"{what}: the zstd frame is of {header.content_size} bytes, not {length}")
        require(header.has_checksum, f"{what}: a zstd frame without checksum")
        require(header.dict_id == 0, f"{what}: a zstd frame with dictionary")
        stream = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        data = stream.decompress(stored)
    except zstandard.ZstdError as error:
        raise Damage(f"{what}: {error}") from error
    require(stream.eof and not stream.unused_data, f"{what}: not exactly one zstd frame")
    require(len(data) == length, f"{what}: {len(data)} bytes instead of {length}")
    return data


def is_digest(text, digits=64):
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{%d}" % digits, text) is not None


def is_time(text, cut=False):
    fraction = r"(\.[0-9]{1,3})?" if cut else r"(\.[0-9]+)?"
    return isinstance(text, str) and re.fullmatch(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}" + fraction + "Z", text) is not None


def is_number(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def receipt_number(text):
    match = re.fullmatch(r"([0-9]+):([0-9]+)", text)
    require(match is not None, f"{text!r} is no receipt number")
    return int(match[1]), int(match[2])


# --- Store -------------------------------------------------------------------------------------------------------

SEGMENT = re.compile(r"ledger/([0-9]{6})/([0-9]{7})/([0-9]{10})\.jsonl\.zst")
BUNDLE = re.compile(r"ledger/([0-9]{6})/([0-9]{7})/bundle\.jsonl\.zst")
PACK = re.compile(r"studies/([0-9a-f]{2})/([^/]+)/([0-9a-f]{64})\.zip")
DOCUMENT = re.compile(r"documents/([0-9a-f]{2})/([0-9a-f]{64})\.json")


def object_names(root):
    """Names of all objects: a reader passes over names that no object can have, and over symbolic links."""
    found = []
    for folder, folders, files in os.walk(root, followlinks=False):
        folders[:] = sorted(f for f in folders
                            if not f.startswith(".") and not os.path.islink(os.path.join(folder, f)))
        for file in sorted(files):
            path = os.path.join(folder, file)
            name = os.path.relpath(path, root).replace(os.sep, "/")
            parts = name.split("/")
            if (re.fullmatch(r"[A-Za-z0-9._~/-]{1,512}", name) and not os.path.islink(path)
                    and not any(part.startswith(".") or len(part) > 255 for part in parts)):
                found.append(name)
    return found


def read(root, name):
    with open(os.path.join(root, *name.split("/")), "rb") as file:
        return file.read()


def read_identity(root):
    """archive.json"""
    require(os.path.isfile(os.path.join(root, "archive.json")), "there is no archive.json: not a store")
    identity = parse(read(root, "archive.json"))
    require(isinstance(identity, dict) and is_number(identity.get("format")), "no format")
    require(identity["format"] == 1,
            f"format {identity['format']} is unknown; needs program version {identity.get('needs', '(not said)')}")
    for member in ("archive", "store"):
        require(is_digest(identity.get(member), 32), f"{member} is not 32 hexadecimal digits")
    require(is_time(identity.get("created")), "created is no time")
    return identity


# --- Ledger ------------------------------------------------------------------------------------------------------

def leaf_hash(line):
    return hashlib.sha256(b"\x00" + line).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """RFC 9162 §2.1 as a frontier: roots of perfect subtrees, largest first."""

    def __init__(self):
        self.size = 0
        self.peaks = []

    def append(self, line):
        digest, size = leaf_hash(line), self.size
        while size % 2 == 1:
            digest = node_hash(self.peaks.pop(), digest)
            size //= 2
        self.peaks.append(digest)
        self.size += 1

    def root(self):
        if not self.peaks:
            return hashlib.sha256(b"").digest()
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root


def is_word(value):
    return isinstance(value, str) and re.fullmatch(r"[a-z0-9._+-]{1,64}", value) is not None


def is_user(value):
    return isinstance(value, str) and len(value) <= 64 and not re.search(r"[\x00-\x1f\x7f-\x9f]", value)


def ascending(numbers):
    return all(a < b for a, b in zip(numbers, numbers[1:]))


def is_epochs(value):
    return (isinstance(value, dict) and all(re.fullmatch("[1-9][0-9]*", epoch) for epoch in value)
            and ascending([int(epoch) for epoch in value]))


def is_after(value):
    return is_epochs(value) and all(is_number(number) for number in value.values())


def is_ranges(value):
    if not is_epochs(value):
        return False
    for ranges in value.values():
        if not all(isinstance(r, list) and len(r) == 2 and all(map(is_number, r)) and r[0] <= r[1] for r in ranges):
            return False
        if not all(a[1] + 1 < b[0] for a, b in zip(ranges, ranges[1:])):
            return False
    return True


def is_stores(value):
    return isinstance(value, list) and all(
        is_digest(one["store"], 32) and one["role"] in ("home", "required", "lagging") for one in value)


def is_object(value):
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9._~/-]{1,512}", value) is not None


def has(**members):
    return lambda value: isinstance(value, dict) and all(
        name in value and check(value[name]) for name, check in members.items())


def many(check):
    return lambda value: isinstance(value, list) and all(check(one) for one in value)


def one_of(*words):
    return lambda value: value in words


def is_uid(value):
    return isinstance(value, str) and value != ""


def is_id(value):
    return is_digest(value, 32)


GROUND = one_of("superseded", "orphan", "repaired", "moved", "disposed", "expired")
ROOT = has(offset=is_number, length=is_number, sha256=is_digest)
# Kind: members that must be there, members that may be.
KINDS = {
    "archive_created": (dict(archive=is_id, format=is_number, stores=is_stores), {}),
    "epoch_opened": (dict(epoch=is_number, program=is_word), dict(continues=has(
        epoch=is_number, sequence=is_number, sha256=is_digest, size=is_number, root=is_digest))),
    "epoch_closed": (dict(epoch=is_number, by=is_user), {}),
    "branch_abandoned": (dict(epoch=is_number, sequence=is_number, sha256=is_digest), {}),
    "home_changed": (dict(stores=is_stores), {}),
    "received": (dict(source=is_user, door=one_of("c-store", "stow-rs", "import"), study=is_uid, receipts=is_ranges,
                      bytes=is_number), {}),
    "sealed": (dict(study=is_uid, pack=is_digest, size=is_number, root=ROOT, receipts=is_ranges, versions=is_number,
                    after=is_after, stores=many(is_id)), {}),
    "merged": (dict(study=is_uid, pack=is_digest, size=is_number, root=ROOT, replaces=many(is_digest),
                    versions=is_number, after=is_after, stores=many(is_id)), {}),
    "case_opened": (dict(case=is_digest, about=is_word),
                    dict(studies=many(is_uid), sop=is_uid, pack=is_digest, store=is_id, document=is_digest)),
    "case_closed": (dict(case=is_digest, by=is_user, outcome=is_word), {}),
    "version_promoted": (dict(study=is_uid, sop=is_uid, version=has(content=is_digest, transfer_syntax=is_uid),
                              by=is_user, after=is_after), {}),
    "copied": (dict(pack=is_digest, study=is_uid, store=is_id), {}),
    "delete_intended": (dict(ground=GROUND, store=is_id, objects=many(is_object), after=is_after),
                        dict(study=is_uid)),
    "deleted": (dict(ground=GROUND, store=is_id, objects=many(is_object), intended=is_number), dict(study=is_uid)),
    "damage_found": (dict(store=is_id, object=is_object, part=is_word), {}),
    "damage_repaired": (dict(store=is_id, object=is_object), {}),
    "audit_finished": (dict(audit=is_word, objects=is_number, bytes=is_number, findings=is_number), {}),
    "job_started": (dict(job=is_word, id=is_digest), {}),
    "job_finished": (dict(job=is_word, id=is_digest, outcome=is_word), {}),
    "config_changed": (dict(stores=is_stores, sha256=is_digest), {}),
}
HEADER = ["format", "archive", "epoch", "sequence", "writer", "first", "previous", "frontier"]


def check_entry(line, index):
    """Chapter Kinds: one entry, with the form of its members."""
    require(not re.search(rb"[ \t\r]", re.sub(rb'"(\\.|[^"\\])*"', b"", line)), f"entry {index}: white space")
    entry = parse(line)
    require(list(entry)[:4] == ["n", "time", "vouched", "kind"], f"entry {index}: its members are not in order")
    require(entry["n"] == index, f"entry {entry['n']} stands where {index} must be")
    require(is_time(entry["time"], cut=True) and is_time(entry["vouched"], cut=True), f"entry {index}: no time")
    known = KINDS.get(entry["kind"])
    if known is None:
        return entry
    needed, optional = known
    for member, check in needed.items():
        require(member in entry and check(entry[member]), f"entry {index}: {entry['kind']} without right {member}")
    for member, check in optional.items():
        require(member not in entry or check(entry[member]), f"entry {index}: {entry['kind']} with wrong {member}")
    return entry


def instant(text):
    whole, _, fraction = text.rstrip("Z").partition(".")
    return whole, fraction.ljust(9, "0")


def split_segment(stored):
    """One zstd frame: header, entry lines, checkpoint."""
    require(len(stored) <= 1_064_960, "a segment of more than 1,064,960 bytes")
    size = zstandard.get_frame_parameters(stored).content_size
    require(size <= 1_048_576, "a segment of more than 1,048,576 bytes of text or of unknown size")
    text = one_frame(stored, size, "segment")
    require(text.endswith(b"\n"), "the last line does not end")
    lines = text[:-1].split(b"\n")
    header = parse(lines[0])
    require(header.get("format") == 1, f"format {header.get('format')} is unknown")
    require(len(lines) >= 3, "a segment without entry")
    return header, lines[1:-1], parse(lines[-1])


class Ledger:
    """The walk over all segments that count, in order."""

    def __init__(self, root, names, archive, report):
        self.root, self.archive, self.report = root, archive, report
        self.tree, self.previous, self.vouched = Tree(), None, None
        self.entries, self.closed = [], set()
        self.segments = {}
        for name in names:
            match = SEGMENT.fullmatch(name)
            if match:
                epoch, thousand, sequence = map(int, match.groups())
                if thousand == sequence // 1024 and epoch > 0:
                    self.segments[epoch, sequence] = name
                else:
                    report.damage(name, "lies in a folder that is not its own")
        for name in names:
            match = BUNDLE.fullmatch(name)
            if match:
                report.guarded(name, self.read_bundle, name, int(match[1]), int(match[2]))

    def read_bundle(self, name, epoch, thousand):
        data = read(self.root, name)
        require(len(data) <= 33_554_432, "a bundle of more than 33,554,432 bytes")
        frames = []
        while data:
            stream = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
            stream.decompress(data)
            require(stream.eof, "ends within a zstd frame")
            frames.append(data[:len(data) - len(stream.unused_data)])
            data = stream.unused_data
        require(len(frames) == 1024, f"has {len(frames)} segments instead of 1,024")
        for number, frame in enumerate(frames):
            place = epoch, thousand * 1024 + number
            if place not in self.segments:
                self.segments[place] = frame
            else:
                require(frame == self.stored(place), f"segment {place[1]} is not the object of that name")

    def stored(self, place):
        there = self.segments[place]
        return there if isinstance(there, bytes) else read(self.root, there)

    def label(self, place):
        return "ledger/%06d/%07d/%010d.jsonl.zst" % (place[0], place[1] // 1024, place[1])

    def ends(self):
        """For each epoch on the way to the last one, the last sequence that counts."""
        if not self.segments:
            raise Damage("there is no ledger segment")
        epoch = max(epoch for epoch, _ in self.segments)
        ends = {epoch: max(s for e, s in self.segments if e == epoch)}
        while epoch > 1:
            require((epoch, 0) in self.segments, f"epoch {epoch} has no segment 0")
            _, entries, _ = split_segment(self.stored((epoch, 0)))
            opened = parse(entries[0])
            require(opened.get("kind") == "epoch_opened", f"epoch {epoch} does not begin with epoch_opened")
            before = opened["continues"]
            require(0 < before["epoch"] < epoch, f"epoch {epoch} continues epoch {before['epoch']}")
            epoch = before["epoch"]
            ends[epoch] = before["sequence"]
        return dict(sorted(ends.items()))

    def walk(self):
        ends = self.report.guarded("ledger", self.ends) or {}
        for epoch, last in ends.items():
            for sequence in range(last + 1):
                place = epoch, sequence
                if place not in self.segments:
                    self.report.damage(self.label(place), "is missing")
                    return
                before = self.report.damaged
                self.report.guarded(self.label(place), self.segment, place)
                if self.report.damaged != before:
                    return
        for place in self.segments:
            if place[0] not in ends or place[1] > ends[place[0]]:
                self.report.note(self.label(place), "is beyond the place that the next epoch continues; not folded")

    def segment(self, place):
        stored = self.stored(place)
        header, lines, checkpoint = split_segment(stored)
        epoch, sequence = place
        first_of_all = epoch == 1 and sequence == 0
        expected = [m for m in HEADER if m != "previous" or not first_of_all]
        require([m for m in header if m in HEADER] == expected, "its header's members are not those, in order")
        require(header["archive"] == self.archive, "is of another archive")
        require((header["epoch"], header["sequence"]) == place, "says another place")
        require(is_digest(header["writer"], 32), "writer is no id")
        require(header["first"] == self.tree.size, f"first is {header['first']}, not {self.tree.size}")
        require(header.get("previous") == self.previous, "previous is not the SHA-256 of the segment before")
        require(header["frontier"] == [peak.hex() for peak in self.tree.peaks], "frontier is not that of the entries before")
        require(bin(header["first"]).count("1") == len(header["frontier"]), "frontier of wrong length")
        require(epoch not in self.closed, "follows epoch_closed")
        for number, line in enumerate(lines):
            self.entry(line, place, number)
        note = checkpoint["checkpoint"]
        signed, _, signatures = note.partition("\n\n")
        expected = f"vellum/{self.archive}\n{self.tree.size}\n{base64.b64encode(self.tree.root()).decode()}"
        require(list(checkpoint) == ["checkpoint"] and "\n\n" in note, "no checkpoint note")
        require(signed == expected, "the checkpoint is not of this tree")
        if signatures:
            self.report.note(self.label(place), "the checkpoint has signatures, which are not checked here")
        self.previous = sha256(stored)

    def entry(self, line, place, number):
        index = self.tree.size
        entry = check_entry(line, index)
        require(self.vouched is None or instant(entry["vouched"]) >= self.vouched, f"entry {index}: vouched goes back")
        kind, (epoch, sequence) = entry["kind"], place
        require((kind == "archive_created") == (index == 0), f"entry {index}: archive_created is the first entry alone")
        opens = index == 1 or (epoch > 1 and sequence == 0 and number == 0)
        require((kind == "epoch_opened") == opens, f"entry {index}: epoch_opened opens each epoch, and only it")
        if kind == "archive_created":
            require(entry["archive"] == self.archive and entry["format"] == 1, f"entry {index}: another archive or format")
        if kind == "epoch_opened":
            require(entry["epoch"] == epoch, f"entry {index}: opens another epoch")
            require(("continues" in entry) == (epoch > 1), f"entry {index}: continues is there from epoch 2 on")
            if epoch > 1:
                before = entry["continues"]
                require(before["sha256"] == self.previous, f"entry {index}: continues another segment")
                require(before["size"] == self.tree.size and before["root"] == self.tree.root().hex(),
                        f"entry {index}: continues another tree")
        require(epoch not in self.closed, f"entry {index}: follows epoch_closed")
        if kind == "epoch_closed":
            require(entry["epoch"] == epoch, f"entry {index}: closes another epoch")
            self.closed.add(epoch)
        if kind not in KINDS:
            self.report.note(self.label(place), f"entry {index} is of the unknown kind {kind!r}: {line.decode()}")
        self.vouched = instant(entry["vouched"])
        self.tree.append(line)
        self.entries.append(entry)


class Packs:
    """Which packs count, folded from the ledger's entries."""

    def __init__(self, store, report):
        self.store, self.report = store, report
        self.living = {}    # digest -> sealed or merged entry
        self.replaced = {}  # digest -> digest of the successor
        self.copies = {}    # digest -> ids of stores
        self.gone = set()   # objects that this store need not hold
        self.names = {}     # digest -> name
        self.receipts = {}  # digest -> receipts that the pack holds

    def fold(self, entries):
        for entry in entries:
            kind = entry["kind"]
            if kind in ("sealed", "merged"):
                self.report.guarded(f"ledger entry {entry['n']}", self.pack, entry)
            elif kind == "copied":
                self.copies.setdefault(entry["pack"], set()).add(entry["store"])
            elif kind == "delete_intended" and entry["store"] == self.store:
                self.gone.update(entry["objects"])
            elif kind == "deleted":
                intended = entries[entry["intended"]] if entry["intended"] < entry["n"] else {}
                if intended.get("kind") != "delete_intended" or set(entry["objects"]) - set(intended["objects"]):
                    self.report.damage(f"ledger entry {entry['n']}", "deletes what entry intended does not name")

    def pack(self, entry):
        digest = entry["pack"]
        require(digest not in self.living and digest not in self.replaced, "names a pack that was named before")
        self.names[digest] = pack_name(entry["study"], digest)
        self.copies[digest] = set(entry["stores"])
        if "receipts" in entry:
            self.receipts[digest] = numbers_of(entry["receipts"])
        else:
            self.receipts[digest] = set().union(*(self.receipts[old] for old in entry["replaces"]))
        for old in entry.get("replaces", []):
            require(old in self.living, f"replaces the pack {old}, which does not count")
            require(self.living[old]["study"] == entry["study"], f"replaces the pack {old} of another study")
            del self.living[old]
            self.replaced[old] = digest
        self.living[digest] = entry


def numbers_of(ranges):
    """Receipts of a member of type ranges."""
    return {(int(epoch), n) for epoch, pairs in ranges.items() for a, b in pairs for n in range(a, b + 1)}


def pack_name(study, digest):
    return f"studies/{sha256(study.encode('utf-8'))[:2]}/{name_of(study)}/{digest}.zip"


# --- ZIP ---------------------------------------------------------------------------------------------------------

class Member:
    """A central header, and where the member lies."""

    def __init__(self, name, method, crc, stored, length, header_offset, needed):
        self.name, self.method, self.crc, self.stored, self.length = name, method, crc, stored, length
        self.header_offset, self.needed = header_offset, needed
        self.data_offset = None


def zip64_field(extra, sizes, what):
    """Values of those `sizes` that overflow, which must be the only extra field, if any overflow."""
    overflowing = [n for n, value in enumerate(sizes) if value == OVERFLOW_32]
    values = list(sizes)
    if not overflowing:
        require(extra == b"", f"{what}: an extra field where nothing overflows")
        return values, False
    require(len(extra) == 4 + 8 * len(overflowing), f"{what}: extra field of wrong length")
    tag, length = struct.unpack_from("<HH", extra)
    require(tag == 1 and length == 8 * len(overflowing), f"{what}: no Zip64 field")
    for place, n in enumerate(overflowing):
        values[n], = struct.unpack_from("<Q", extra, 4 + 8 * place)
        require(values[n] >= OVERFLOW_32 or len(sizes) == 2, f"{what}: Zip64 where nothing overflows")
    return values, True


def end_of_directory(data):
    """Gives entries, offset and size of the central directory, and where it must end."""
    what = "end of central directory"
    require(len(data) >= 22, f"{what}: shorter than one")
    end = len(data) - 22
    sig, disk, start, here, total, size, offset, comment = struct.unpack_from("<IHHHHIIH", data, end)
    require(sig == 0x06054B50, f"{what}: not found at the end")
    require((disk, start, comment) == (0, 0, 0), f"{what}: disks or a comment")
    require(here == total, f"{what}: two numbers of entries")
    if total != 0xFFFF and OVERFLOW_32 not in (size, offset):
        require(offset + size == end, f"{what}: the central directory does not end where it begins")
        return total, offset, size
    require(end >= 76, f"{what}: no room for Zip64")
    sig, disk, at, disks = struct.unpack_from("<IIQI", data, end - 20)
    require(sig == 0x07064B50 and disk == 0 and disks == 1, f"{what}: no Zip64 locator")
    require(at == end - 76, f"{what}: the Zip64 end record is elsewhere")
    sig, length, made, needed, disk, start, here, total64, size64, offset64 = struct.unpack_from("<IQHHIIQQQQ", data, at)
    require(sig == 0x06064B50 and length == 44, f"{what}: no Zip64 end record")
    require((made, needed) == (0x033F, 45), f"{what}: versions in Zip64")
    require((disk, start) == (0, 0) and here == total64, f"{what}: disks or two numbers of entries in Zip64")
    for short, long, top in ((total, total64, 0xFFFF), (size, size64, OVERFLOW_32), (offset, offset64, OVERFLOW_32)):
        require(short == min(long, top), f"{what}: Zip64 says otherwise")
    require(total64 > 65_534 or size64 >= OVERFLOW_32 or offset64 >= OVERFLOW_32, f"{what}: Zip64 without need")
    require(offset64 + size64 == at, f"{what}: the central directory does not end where it begins")
    return total64, offset64, size64


def read_directory(data):
    """All members by the central directory, walked and compared with the local headers."""
    total, offset, size = end_of_directory(data)
    members, place, end = [], offset, offset + size
    for number in range(total):
        what = f"central directory, entry {number}"
        require(place + 46 <= end, f"{what}: beyond the end")
        (sig, made, needed, flags, method, time, date, crc, stored, length, name_length, extra_length, comment, disk,
         internal, external, header) = struct.unpack_from("<IHHHHHHIIIHHHHHII", data, place)
        require(sig == 0x02014B50, f"{what}: no central header")
        require(place + 46 + name_length + extra_length <= end, f"{what}: beyond the end")
        raw = bytes(data[place + 46:place + 46 + name_length])
        extra = bytes(data[place + 46 + name_length:place + 46 + name_length + extra_length])
        require(re.fullmatch(rb"[A-Za-z0-9._~/-]+", raw), f"{what}: a name that no member has")
        what = f"central directory, {raw.decode()}"
        require(made == 0x033F, f"{what}: made by {made:#06x}")
        require(flags == 0x0800 and (time, date) == (0, 0x21), f"{what}: flags or time")
        require((comment, disk, internal) == (0, 0, 0), f"{what}: comment, disk or internal attributes")
        require(external == 0x81A40000, f"{what}: external attributes")
        require(method in (0, 93), f"{what}: method {method}")
        (length, stored, header), zip64 = zip64_field(extra, (length, stored, header), what)
        require(method == 93 or stored == length, f"{what}: stored with two lengths")
        require(needed == (63 if method == 93 else 45 if zip64 else 20), f"{what}: version needed {needed}")
        require(length > 0 or method == 0, f"{what}: no bytes, yet compressed")
        members.append(Member(raw.decode(), method, crc, stored, length, header, needed))
        place += 46 + name_length + extra_length
    require(place == end, "central directory: longer than its entries")
    names = [member.name for member in members]
    require(len(set(names)) == len(names), "central directory: two members have one name")
    walk_members(data, members, offset)
    return members


def walk_members(data, members, directory):
    place = 0
    for member in members:
        what = f"{member.name}: local header"
        require(member.header_offset == place, f"{what}: the member before ends at {place}, the central directory says {member.header_offset}")
        require(place + 30 <= directory, f"{what}: beyond the central directory")
        sig, needed, flags, method, time, date, crc, stored, length, name_length, extra_length = struct.unpack_from(
            "<IHHHHHIIIHH", data, place)
        require(sig == 0x04034B50, f"{what}: none")
        require((flags, time, date) == (0x0800, 0, 0x21), f"{what}: flags or time")
        require((method, crc) == (member.method, member.crc), f"{what}: method or CRC-32 not as in the central directory")
        begin = place + 30
        require(bytes(data[begin:begin + name_length]) == member.name.encode(), f"{what}: another name than in the central directory")
        extra = bytes(data[begin + name_length:begin + name_length + extra_length])
        if OVERFLOW_32 in (stored, length):
            require((stored, length) == (OVERFLOW_32, OVERFLOW_32), f"{what}: Zip64 with one size alone")
            require(max(member.stored, member.length) >= OVERFLOW_32, f"{what}: Zip64 without need")
        (length, stored), zip64 = zip64_field(extra, (length, stored), what)
        require((stored, length) == (member.stored, member.length), f"{what}: sizes not as in the central directory")
        require(needed == (63 if method == 93 else 45 if zip64 else 20), f"{what}: version needed {needed}")
        member.data_offset = begin + name_length + extra_length
        place = member.data_offset + member.stored
        require(place <= directory, f"{what}: the member is longer than the room for it")
    require(place == directory, "something lies between the members and the central directory")


# --- Pack --------------------------------------------------------------------------------------------------------

def compose_prefix(line, receipt):
    """Chapter Composed prefix."""
    def element(number, vr, value, pad):
        if len(value) % 2:
            value += pad
        length = struct.pack("<HI", 0, len(value)) if vr == b"OB" else struct.pack("<H", len(value))
        return struct.pack("<HH", 2, number) + vr + length + value

    def text(value):
        return value.encode("latin-1")

    body = element(1, b"OB", b"\x00\x01", b"\x00")
    body += element(2, b"UI", text(line["class"]), b"\x00")
    body += element(3, b"UI", text(line["sop"]), b"\x00")
    body += element(0x10, b"UI", text(line["syntax"]), b"\x00")
    body += element(0x12, b"UI", b"2.25.265713284932180127834640817034715123451", b"\x00")
    body += element(0x13, b"SH", b"VELLUM_1", b" ")
    if receipt["door"] == "c-store":
        body += element(0x16, b"AE", text(receipt["source"]), b" ")
        body += element(0x17, b"AE", text(receipt["source"]), b" ")
    if "local_ae" in receipt:
        body += element(0x18, b"AE", text(receipt["local_ae"]), b" ")
    return bytes(128) + b"DICM" + element(0, b"UL", struct.pack("<I", len(body)), b"") + body


def check_dicom_json(value, what):
    require(isinstance(value, dict), f"{what}: no DICOM JSON object")
    for tag, attribute in value.items():
        require(re.fullmatch("[0-9A-F]{8}", tag), f"{what}: {tag} is no tag")
        require(isinstance(attribute, dict) and re.fullmatch("[A-Z]{2}", attribute["vr"]), f"{what}: {tag} has no VR")
        for item in attribute.get("Value", []) if attribute["vr"] == "SQ" else []:
            if item is not None:
                check_dicom_json(item, what)


class Pack:
    """A pack that is read from its root down, each level checked before it is believed."""

    def __init__(self, path, label, report):
        self.label, self.report = label, report
        self.file = open(path, "rb")
        size = os.fstat(self.file.fileno()).st_size
        self.data = mmap.mmap(self.file.fileno(), size, access=mmap.ACCESS_READ) if size else b""
        self.members, self.by_name, self.root, self.lines, self.blocks = [], {}, None, [], []

    def close(self):
        if self.data:
            self.data.close()
        self.file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def part(self, part, method, what):
        """Bytes of a part, checked."""
        begin, stored, length = part["offset"], part["stored"], part["length"]
        require(begin + stored <= len(self.data), f"{what}: beyond the end of the pack")
        raw = self.data[begin:begin + stored]
        data = one_frame(raw, length, what) if method == 93 else raw
        require(len(data) == length and sha256(data) == part["sha256"], f"{what}: does not have its SHA-256")
        return data

    def open(self, digest=None, entry=None):
        """Directory, root, index, metadata: everything but the members. Raises Damage."""
        if digest is not None:
            whole = hashlib.sha256()
            for begin in range(0, len(self.data), FOUR_MIB):
                whole.update(self.data[begin:begin + FOUR_MIB])
            if whole.hexdigest() != digest:
                self.report.damage(self.label, "its bytes do not have the digest in its name")
        self.members = read_directory(self.data)
        self.by_name = {member.name: member for member in self.members}
        names = [member.name for member in self.members]
        dicom = [name for name in names if name.endswith(".dcm")]
        frames = ["vellum/frames.bin"] if "vellum/frames.bin" in names else []
        require(names == ["README.txt", *dicom, *frames, "vellum/metadata.jsonl", "vellum/index.jsonl",
                          "vellum/root.json"], "central directory: members are not those, in order")
        self.readme()
        self.read_root(entry)
        self.read_blocks()
        self.lines = self.read_table("index", "vellum/index.jsonl")
        self.check_lines(dicom)
        self.check_metadata()

    def whole(self, name, limit):
        member = self.by_name[name]
        require(member.method == 0 and member.length <= limit, f"{name}: compressed, or too long")
        data = self.data[member.data_offset:member.data_offset + member.length]
        require(zlib.crc32(data) == member.crc, f"{name}: does not have its CRC-32")
        return data

    def readme(self):
        text = self.whole("README.txt", 512)
        require(text.isascii(), "README.txt: not ASCII")

    def read_root(self, entry):
        member = self.by_name["vellum/root.json"]
        data = self.whole("vellum/root.json", 64 * 1024 * 1024)
        if entry is not None:
            place = entry["root"]
            require((place["offset"], place["length"]) == (member.data_offset, member.length),
                    "vellum/root.json: not where the ledger says")
            require(sha256(data) == place["sha256"], "vellum/root.json: does not have the SHA-256 that the ledger says")
            require(entry["size"] == len(self.data), "not as long as the ledger says")
        root = self.root = parse(data)
        require(root["vellum"] == "pack" and root["format"] == 1, f"vellum/root.json: format {root.get('format')} is unknown")
        require(root["features"] == [], f"vellum/root.json: unknown features {root['features']}")
        require(is_digest(root["nonce"], 32), "vellum/root.json: nonce")
        if entry is not None:
            require(root["study"] == entry["study"], "vellum/root.json: another study than the ledger says")
            require(root["versions"] == entry["versions"], "vellum/root.json: another number of versions than the ledger says")
        for table, name in (("index", "vellum/index.jsonl"), ("metadata", "vellum/metadata.jsonl"),
                            ("frames", "vellum/frames.bin")):
            if table == "frames" and (table in root) != (name in self.by_name):
                raise Damage("vellum/root.json: frames and vellum/frames.bin are there together or not at all")
            if table in root:
                self.check_cover(root[table], name, "blocks" if table == "frames" else "units")

    def check_cover(self, table, name, list_name):
        """Parts lie one after the other in their member, without gap."""
        member, parts = self.by_name[name], table[list_name]
        require(table["method"] == member.method == (93 if parts else 0), f"{name}: method")
        place = member.data_offset
        for part in parts:
            require(part["offset"] == place and part["length"] > 0, f"{name}: parts are not one after the other")
            require(is_digest(part["sha256"]), f"{name}: a part without digest")
            place += part["stored"]
        require(place == member.data_offset + member.stored, f"{name}: parts do not cover the member")
        require(sum(part["length"] for part in parts) == member.length, f"{name}: parts do not have its length")

    def read_blocks(self):
        crc = 0
        for number, part in enumerate(self.root.get("frames", {}).get("blocks", [])):
            what = f"vellum/frames.bin, block {number}"
            require(part["length"] <= 65_536, f"{what}: more than 65,536 bytes")
            self.blocks.append(self.part(part, 93, what))
            crc = zlib.crc32(self.blocks[-1], crc)
        if self.blocks:
            require(crc == self.by_name["vellum/frames.bin"].crc, "vellum/frames.bin: does not have its CRC-32")

    def read_table(self, table, name):
        """Lines of index or metadata, part by part."""
        lines, crc = [], 0
        for number, part in enumerate(self.root[table]["units"]):
            what = f"{name}, part {number}"
            data = self.part(part, self.root[table]["method"], what)
            crc = zlib.crc32(data, crc)
            require(data.endswith(b"\n"), f"{what}: its last line does not end")
            raw = data[:-1].split(b"\n")
            require(part["first"] == len(lines) and part["count"] == len(raw), f"{what}: first or count")
            require(len(raw) <= 500, f"{what}: more than 500 lines")
            require(len(data) <= FOUR_MIB or len(raw) == 1, f"{what}: more than 4 MiB")
            lines.extend((part["series"], line) for line in raw)
        require(crc == self.by_name[name].crc, f"{name}: does not have its CRC-32")
        require(len(lines) == self.root["versions"], f"{name}: not a line for each version")
        return lines

    def check_lines(self, dicom):
        root, order, parsed = self.root, [], []
        for number, (series, raw) in enumerate(self.lines):
            what = f"vellum/index.jsonl, line {number}"
            require(len(raw) <= 32 * 1024 * 1024, f"{what}: longer than 32 MiB")
            line = parse(raw)
            require(line["line"] == number and line["series"] == series, f"{what}: number or series")
            require(is_digest(line["content"]) and is_number(line["content_length"]), f"{what}: content")
            require(all(is_uid(line[m]) for m in ("sop", "class", "syntax")), f"{what}: UIDs")
            require(line.get("inflated", True) is True, f"{what}: inflated")
            require(is_number(line["frame_count"]) and is_number(line["scanner"]), f"{what}: frame_count or scanner")
            check_dicom_json(line["attributes"], what)
            numbers = [receipt_number(receipt["number"]) for receipt in line["receipts"]]
            require(numbers and ascending(numbers), f"{what}: receipts")
            for receipt in line["receipts"]:
                self.check_receipt(line, receipt, what)
            order.append((series.encode("utf-8"), numbers[0]))
            parsed.append(line)
        require(order == sorted(order), "vellum/index.jsonl: lines are not in order")
        held = [line for line in parsed if "member" in line]
        require(root["contents"] == len(held), "vellum/root.json: contents")
        require(root["receipts"] == sum(len(line["receipts"]) for line in parsed), "vellum/root.json: receipts")
        require(root["content_bytes"] == sum(line["content_length"] for line in held), "vellum/root.json: content_bytes")
        require([line["member"]["name"] for line in held] == dicom, "vellum/index.jsonl: members not in the order of the index")
        identities = [(line["sop"], line["content"], line["syntax"]) for line in parsed]
        require(len(set(identities)) == len(identities), "vellum/index.jsonl: one version on two lines")
        self.check_names(held)
        self.lines = parsed

    def check_receipt(self, line, receipt, what):
        require(receipt["door"] in ("c-store", "stow-rs", "import"), f"{what}: door")
        require(receipt["rule"] in ("same-source-replaces", "first-wins", "latest-wins"), f"{what}: rule")
        require(is_time(receipt["time"]) and isinstance(receipt["source"], str), f"{what}: time or source")
        require(receipt.get("bare", True) is True, f"{what}: bare")
        require(("bare" in receipt) + ("prefix" in receipt) <= 1, f"{what}: a receipt with bare and prefix")
        require(("bare" in receipt) != ("file" in receipt), f"{what}: a file, or bare; one of them")
        if "file" in receipt:
            require(is_digest(receipt["file"]["sha256"]) and is_number(receipt["file"]["size"]), f"{what}: file")
        if "member" not in line:
            require("bare" in receipt or "prefix" in receipt, f"{what}: a receipt of a file without member or prefix")

    def check_names(self, held):
        seen = set()
        for line in held:
            sop, content = name_of(line["sop"]), line["content"]
            name = f"{sop}.dcm"
            if name in seen:
                name = f"{sop}~{content}.dcm"
            if any(other["sop"] == line["sop"] and other["content"] == content and other["line"] < line["line"]
                   for other in held):
                name = f"{sop}~{content}~{name_of(line['syntax'])}.dcm"
            require(line["member"]["name"] == name, f"vellum/index.jsonl, line {line['line']}: its member should be {name}")
            seen.add(name)

    def check_metadata(self):
        for line, (series, raw) in zip(self.lines, self.read_table("metadata", "vellum/metadata.jsonl")):
            what = f"vellum/metadata.jsonl, line {line['line']}"
            require(line["series"] == series, f"{what}: series")
            header = parse(raw)
            if header is None:
                continue
            require("member" in line, f"{what}: a header where only receipts are here")
            check_dicom_json(header, what)
            for uri in re.findall(rb'"BulkDataURI":"([^"]*)"', raw):
                self.check_bulk(line, uri.decode(), what)
            for tag, key in (("0020000E", "series"), ("00080018", "sop"), ("00080016", "class")):
                value = header.get(tag, {}).get("Value", [line[key]])
                require(value == [line[key]], f"{what}: {tag} is not that of the index")

    @staticmethod
    def check_bulk(line, uri, what):
        """Where a value that is left out lies, if it is one of this instance."""
        if not uri.startswith("@vellum-instance-url@!/bulkdata/") or uri.endswith("/frames"):
            return
        match = re.fullmatch(r"[A-Z]{2}-(i?)([0-9]+)-([0-9]+)", uri.rpartition("/")[2])
        require(match is not None, f"{what}: a BulkDataURI of another form")
        require(bool(match[1]) == ("inflated" in line), f"{what}: a BulkDataURI that counts in another space")
        require(match[1] or int(match[2]) + int(match[3]) <= line["content_length"], f"{what}: bulk beyond the content")

    # Tables and members

    def rows(self, table, width, layout, what):
        """Rows of a long table, out of frames.bin."""
        per_block = 65_536 // width
        block, left, rows = table["block"], table["rows"], []
        while left:
            require(block < len(self.blocks), f"{what}: a block that is not there")
            data, count = self.blocks[block], min(left, per_block)
            require(len(data) == count * width, f"{what}: block {block} has another number of rows")
            rows.extend(struct.unpack_from(layout, data, at) for at in range(0, len(data), width))
            part = self.root["frames"]["blocks"][block]
            if width == 8:
                require("first" not in part, f"{what}: block {block} of frames says a first offset")
            else:
                require(part["first"] == rows[-count][0], f"{what}: block {block} says another first offset")
            block, left = block + 1, left - count
        return rows

    def tables(self, line, what):
        member = line["member"]
        if "tables" not in member:
            tables = member["units"], member["fragments"], member["frames"]
            require(all(len(table) <= 256 for table in tables), f"{what}: a table of more than 256 rows in the line")
            return tables
        require(not {"units", "fragments", "frames"} & set(member), f"{what}: tables twice")
        tables = member["tables"]
        require(max(t["rows"] for t in tables.values()) > 256, f"{what}: frames.bin without need")
        units = [(offset, length & 0x7FFFFFFF, place, stored, digest.hex(), "h" if length >> 31 else "b")
                 for offset, place, length, stored, digest in self.rows(tables["units"], 40, "<QQII16s", what)]
        return (units, self.rows(tables["fragments"], 16, "<QQ", what), self.rows(tables["frames"], 8, "<II", what))

    def check_member(self, line, more_prefixes=(), output=None):
        """Checks one version whole, hands out its files. Gives [(sha256, size)] of its files, the member's first."""
        member, what = line["member"], line["member"]["name"]
        entry = self.by_name[what]
        require((member["method"], member["offset"], member["stored"], member["length"])
                == (entry.method, entry.data_offset, entry.stored, entry.length), f"{what}: the index says another place")
        prefix = base64.b64decode(member["prefix"], validate=True)
        require(len(prefix) <= 65_536, f"{what}: a prefix over 64 KiB")
        require(member["length"] == len(prefix) + line["content_length"], f"{what}: length is not prefix and content")
        units, fragments, frames = self.tables(line, what)
        self.check_units(line, units, len(prefix), what)
        self.check_frames(line, units, fragments, frames, len(prefix), what)
        prefixes = [prefix] + [p for p in more_prefixes if p != prefix]
        hashes = [hashlib.sha256(p) for p in prefixes]
        sinks = [output.open(self.root["study"], line["sop"]) for _ in prefixes] if output else []
        try:
            content, crc = hashlib.sha256(), 0
            for sink, own in zip(sinks, prefixes):
                sink.write(own)
            for number, (offset, length, place, stored, digest, _) in enumerate(units):
                begin = member["offset"] + place
                raw = self.data[begin:begin + stored]
                name = f"{what}, unit {number}"
                data = one_frame(raw, length, name) if member["method"] == 93 else raw
                require(len(data) == length, f"{name}: {len(data)} bytes instead of {length}")
                require(blake3.blake3(data).hexdigest()[:32] == digest, f"{name}: does not have its digest")
                crc = zlib.crc32(data, crc)
                if offset < len(prefix):
                    require(data == prefix, f"{name}: is not the prefix that the index names")
                    continue
                for one in (content, *hashes):
                    one.update(data)
                for sink in sinks:
                    sink.write(data)
            require(content.hexdigest() == line["content"], f"{what}: does not have its content id")
            require(crc == entry.crc, f"{what}: does not have its CRC-32")
            self.check_files(line, prefixes, hashes, what)
        except BaseException:
            for sink in sinks:
                sink.drop()
            raise
        files = [(h.hexdigest(), len(p) + line["content_length"]) for h, p in zip(hashes, prefixes)]
        for sink, (digest, _) in zip(sinks, files):
            sink.keep(digest)
        return files

    def check_units(self, line, units, prefix, what):
        place, stored_place, kinds = 0, 0, []
        for number, (offset, length, stored_offset, stored, digest, kind) in enumerate(units):
            name = f"{what}, unit {number}"
            require(offset == place and stored_offset == stored_place, f"{name}: gap or overlap")
            require(1 <= length <= FOUR_MIB and stored >= 1, f"{name}: of {length} bytes")
            require(line["member"]["method"] == 93 or stored == length, f"{name}: stored with another length")
            require(kind in ("h", "b") and is_digest(digest, 32), f"{name}: kind or digest")
            place, stored_place = place + length, stored_place + stored
            kinds.append(kind)
        member = line["member"]
        require(place == member["length"] and stored_place <= member["stored"], f"{what}: units do not cover the member")
        if stored_place < member["stored"]:
            # A frame of nothing behind a last unit that fills libarchive's buffer.
            require(member["method"] == 93 and units[-1][1] % 131_072 == 0, f"{what}: bytes of no unit")
            rest = self.data[member["offset"] + stored_place:member["offset"] + member["stored"]]
            one_frame(rest, 0, f"{what}, the frame behind its units")
        if prefix:
            require(units[0][1] == prefix and kinds[0] == "h", f"{what}: the prefix is not a unit of its own")
        if line.get("inflated"):
            require(set(kinds) <= {"h"}, f"{what}: a deflated data set with bulk")

    def check_frames(self, line, units, fragments, frames, prefix, what):
        place = 0 if line.get("inflated") else prefix
        for offset, length in fragments:
            require(offset >= place, f"{what}: fragments overlap")
            place = offset + length
        if not line.get("inflated"):
            require(place <= line["member"]["length"], f"{what}: a fragment beyond the end")
        require(len(frames) in (0, line["frame_count"]), f"{what}: {len(frames)} frames instead of {line['frame_count']}")
        next_fragment = 0
        for first, count in frames:
            require(first == next_fragment and count >= 1, f"{what}: frames do not follow each other")
            next_fragment = first + count
        require(not frames or next_fragment == len(fragments), f"{what}: frames do not hold every fragment")
        if line.get("inflated"):
            return
        # A frame over 4 KiB is alone in its units: no unit holds bytes of it and of another one.
        borders = [unit[0] for unit in units]
        owner, at = {}, 0
        for number, (first, count) in enumerate(frames):
            length = sum(fragments[f][1] for f in range(first, first + count))
            for f in range(first, first + count):
                begin, size = fragments[f]
                while at + 1 < len(borders) and borders[at + 1] <= begin:
                    at += 1
                last = at
                while size and last < len(units) and units[last][0] < begin + size:
                    require(units[last][5] == "b" or size <= 1024, f"{what}: pixels in a header unit")
                    before, large = owner.get(last, (number, False))
                    require(before == number or not (large or length > 4096), f"{what}: two frames in unit {last}")
                    owner[last] = number, length > 4096
                    last += 1

    def check_files(self, line, prefixes, hashes, what):
        """Each receipt of a file gives a file that has the digest in it."""
        by_prefix = dict(zip(prefixes, hashes))
        lowest = line["receipts"][0]
        require("prefix" not in lowest, f"{what}: the prefix is not that of the lowest receipt")
        if "bare" in lowest:
            require(prefixes[0] == compose_prefix(line, lowest), f"{what}: the prefix is not the composed one")
        for receipt in line["receipts"]:
            if "file" not in receipt:
                continue
            prefix = base64.b64decode(receipt["prefix"], validate=True) if "prefix" in receipt else prefixes[0]
            require("prefix" not in receipt or prefix != prefixes[0], f"{what}: names the member's prefix again")
            self.check_file(receipt, prefix, by_prefix, line, what)

    @staticmethod
    def check_file(receipt, prefix, by_prefix, line, what):
        require(by_prefix[prefix].hexdigest() == receipt["file"]["sha256"]
                and len(prefix) + line["content_length"] == receipt["file"]["size"],
                f"{what}: receipt {receipt['number']}: the file does not have its SHA-256")


def own_prefixes(line):
    """Prefixes of the line's receipts beside the member's: named ones, and the composed ones of bare data sets."""
    return [compose_prefix(line, receipt) if "bare" in receipt else base64.b64decode(receipt["prefix"], validate=True)
            for receipt in line["receipts"] if "bare" in receipt or "prefix" in receipt]


class Output:
    """Files that appear only when they were proven."""

    def __init__(self, folder):
        self.folder, self.count = folder, 0

    def open(self, study, sop):
        self.count += 1
        folder = os.path.join(self.folder, name_of(study), name_of(sop))
        os.makedirs(folder, exist_ok=True)
        return Sink(folder, self.count)


class Sink:
    def __init__(self, folder, number):
        self.folder = folder
        self.path = os.path.join(folder, f".{number}.part")
        self.file = open(self.path, "xb")

    def write(self, data):
        self.file.write(data)

    def drop(self):
        self.file.close()
        os.unlink(self.path)

    def keep(self, digest):
        self.file.close()
        os.replace(self.path, os.path.join(self.folder, digest + ".dcm"))


# --- A whole store -----------------------------------------------------------------------------------------------

class StoreReader:
    def __init__(self, root, report, output):
        self.root, self.report, self.output = root, report, output
        self.prefixes = {}  # version -> prefixes of all its receipts
        self.receipts = {}  # version -> receipts of files with their prefix, from packs without its bytes
        self.held, self.named = set(), {}
        self.seen = set()   # files handed out
        self.packs = None

    def run(self):
        report = self.report
        identity = report.guarded("archive.json", read_identity, self.root)
        if identity is None:
            return
        names = object_names(self.root)
        present = set(names)
        ledger = Ledger(self.root, names, identity["archive"], report)
        ledger.walk()
        packs = self.packs = Packs(identity["store"], report)
        packs.fold(ledger.entries)
        print_ledger(ledger)
        for name in names:
            if DOCUMENT.fullmatch(name):
                report.guarded(name, self.document, name)
            elif PACK.fullmatch(name) and name not in packs.names.values():
                report.note(name, "no ledger entry names it")
        reading = []
        for digest, entry in packs.living.items():
            name = packs.names[digest]
            if name not in present:
                if identity["store"] in packs.copies[digest] and name not in packs.gone:
                    report.damage(name, "is missing")
                else:
                    report.note(name, "is not in this store")
                continue
            print(f"pack\t{name}\t{entry['kind']}")
            reading.append((name, digest, entry))
        for digest, successor in packs.replaced.items():
            if packs.names[digest] in present:
                print(f"pack\t{packs.names[digest]}\treplaced by {successor}")
                report.guarded(packs.names[digest], self.replaced, packs.names[digest], digest)
        good = [one for one in reading if report.guarded(one[0], self.index, *one)]
        for one in good:
            report.guarded(one[0], self.extract, *one)
        for version, named in self.named.items():
            if version not in self.held:
                report.damage(named, f"no pack that counts holds content {version[2]} of {version[1]}")
        self.receipts_of_ledger(ledger.entries)

    def document(self, name):
        match = DOCUMENT.fullmatch(name)
        require(match[1] == match[2][:2], "lies in a folder that is not its own")
        require(sha256(read(self.root, name)) == match[2], "its bytes do not have the digest in its name")

    def pack(self, name):
        return Pack(os.path.join(self.root, *name.split("/")), name, self.report)

    def replaced(self, name, digest):
        """A pack that was replaced counts no more; its copy is still checked."""
        with self.pack(name) as pack:
            pack.open(digest)
            for line in pack.lines:
                if "member" in line:
                    self.report.guarded(name, pack.check_member, line, own_prefixes(line))

    def index(self, name, digest, entry):
        """First walk: what each pack holds, and which prefixes came for it."""
        before = self.report.damaged
        with self.pack(name) as pack:
            pack.open(digest, entry)
            study = pack.root["study"]
            numbers = set()
            for line in pack.lines:
                version = study, line["sop"], line["content"], line["syntax"]
                self.named.setdefault(version, name)
                self.prefixes.setdefault(version, []).extend(own_prefixes(line))
                if "member" in line:
                    self.held.add(version)
                else:
                    self.receipts.setdefault(version, []).extend(
                        (name, receipt) for receipt in line["receipts"] if "file" in receipt)
                numbers.update(receipt_number(receipt["number"]) for receipt in line["receipts"])
            require(numbers == self.packs.receipts[digest], "does not hold the receipts that the ledger says")
        return self.report.damaged == before

    def extract(self, name, digest, entry):
        """Second walk: every version whose bytes are here."""
        with self.pack(name) as pack:
            pack.open(None, entry)
            for line in pack.lines:
                if "member" in line:
                    self.report.guarded(name, self.version, pack, name, line)

    def version(self, pack, name, line):
        study = pack.root["study"]
        version = study, line["sop"], line["content"], line["syntax"]
        more = list(dict.fromkeys(self.prefixes[version]))
        files = pack.check_member(line, more, self.output)
        member = base64.b64decode(line["member"]["prefix"])
        by_prefix = dict(zip([member] + [p for p in more if p != member], files))
        for other, receipt in self.receipts.get(version, []):
            digest, size = by_prefix[base64.b64decode(receipt["prefix"])]
            if (digest, size) != (receipt["file"]["sha256"], receipt["file"]["size"]):
                self.report.damage(other, f"receipt {receipt['number']}: the file does not have its SHA-256")
        for digest, size in files:
            if (digest, version) not in self.seen:
                self.seen.add((digest, version))
                self.report.file(digest, size, study, line["sop"], f"{name}!{line['member']['name']}")

    def receipts_of_ledger(self, entries):
        """What was sealed was received before."""
        received = set()
        for entry in entries:
            if entry["kind"] not in ("received", "sealed"):
                continue
            numbers = numbers_of(entry["receipts"])
            if entry["kind"] == "received":
                received |= numbers
            elif numbers - received:
                self.report.note(f"ledger entry {entry['n']}", "seals receipts that no entry received says")


def pack_mode(files, any_name, report):
    for path in files:
        digest = None
        if not any_name:
            match = re.fullmatch(r"([0-9a-f]{64})\.zip", os.path.basename(path))
            if match is None:
                report.damage(path, "its name is not a digest and .zip")
                continue
            digest = match[1]
        report.guarded(path, one_pack, path, digest, report)


def one_pack(path, digest, report):
    with Pack(path, path, report) as pack:
        pack.open(digest)
        for line in pack.lines:
            if "member" not in line:
                continue
            files = report.guarded(path, pack.check_member, line, own_prefixes(line))
            for digest, size in files or []:
                report.file(digest, size, pack.root["study"], line["sop"], f"{path}!{line['member']['name']}")


def members_mode(path, report):
    with Pack(path, path, report) as pack:
        members = read_directory(pack.data)
        for member in members:
            print(f"member\t{member.name}\t{member.header_offset}\t{member.data_offset + member.stored}")
        _, offset, size = end_of_directory(pack.data)
        print(f"member\tcentral directory\t{offset}\t{offset + size}")
        print(f"member\tend of central directory\t{offset + size}\t{len(pack.data)}")


# --- Journal -----------------------------------------------------------------------------------------------------

def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC32C = crc32c_table()


def crc32c(data):
    crc = OVERFLOW_32
    for byte in data:
        crc = CRC32C[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ OVERFLOW_32


def blake3_128(data):
    return blake3.blake3(data).digest()[:16]


MAGIC = b"VLMJOURN"
FRAME = struct.Struct("<8sHHIQQ16sQQ16s16sII")
HEAD, CONTENT, COMMIT = 1, 2, 4


class Frame:
    """A frame whose header has its CRC."""

    def __init__(self, data, offset):
        self.offset, self.raw = offset, bytes(data[offset:offset + 104])
        require(len(self.raw) == 104, "a header that is cut off")
        (magic, self.version, self.kind, self.epoch, self.length, self.sequence, self.segment, self.place, self.receipt,
         self.check, self.chain, crc, zero) = FRAME.unpack(self.raw)
        require(magic == MAGIC, "no frame")
        require(crc32c(self.raw[:96]) == crc and zero == 0, "a header that does not have its CRC")
        require(self.version == 1, f"a frame of version {self.version}, kind {self.kind}: unknown")
        require(self.place == offset, "a frame of another place")
        self.end = offset + 104 + self.length
        require(self.end <= len(data), "a frame beyond the end of the file")
        self.payload = data[offset + 104:self.end]

    def is_whole(self):
        if self.kind == CONTENT:
            return self.check == struct.pack("<I", crc32c(self.payload)) + bytes(12)
        return self.check == blake3_128(self.payload)


def align(number, border):
    return -(-number // border) * border


class JournalFolder:
    """Chapter Journal: segments, spill files, and the commit records that make them count."""

    def __init__(self, folder, report):
        self.folder, self.report = folder, report
        self.files, self.commits, self.archives = {}, [], set()

    def path(self, name):
        return os.path.join(self.folder, *name.split("/"))

    def bytes_of(self, name):
        if name not in self.files:
            with open(self.path(name), "rb") as file:
                self.files[name] = file.read()
        return self.files[name]

    def run(self, output):
        names = sorted(os.listdir(self.folder))
        segments = []
        for name in names:
            match = re.fullmatch(r"segment-([0-9]{10,})\.journal", name)
            if match:
                segments.append((int(match[1]), name))
            elif name.startswith("tail-") or name.endswith(".new"):
                self.report.note(name, "is kept for a person, or not finished")
        for number, name in sorted(segments):
            self.report.guarded(name, self.segment, number, name)
        if len(self.archives) > 1:
            self.report.damage("journal", "segments of several archives")
        self.instances(output)

    def segment(self, number, name):
        """Walks all frames; bytes that are in none and are not zero are a bad range."""
        data = self.bytes_of(name)
        head = Frame(data, 0)
        require(head.kind == HEAD and head.sequence == 0 and head.receipt == 0 and head.length == 48 and head.is_whole()
                and head.chain == bytes(16), "its head is not whole")
        archive, epoch, zero, own, first, _made = struct.unpack("<16sIIQQq", head.payload)
        require(own == number and zero == 0 and head.epoch == epoch, "its head is of another segment")
        self.archives.add(archive)
        before, place, bad = head, align(head.end, 8), None
        while place < len(data):
            frame = self.next_frame(name, data, place, head)
            if frame is None:
                if any(data[place:place + 8]) and bad is None:
                    bad = place
                place += 8
                continue
            if bad is not None:
                self.report.damage(name, f"bytes from {bad} to {frame.offset} are no whole frames")
                bad = None
            elif (frame.chain, frame.sequence) != (blake3_128(before.raw), before.sequence + 1):
                self.report.damage(name, f"the frame at {frame.offset} does not follow the one at {before.offset}")
            if frame.kind == COMMIT:
                self.report.guarded(f"{name}, commit at {frame.offset}", self.commit, number, name, frame)
            before, place = frame, align(frame.end, 8)
            if any(data[frame.end:place]):
                self.report.damage(name, f"bytes between frames at {frame.end} are not zero")
        if bad is not None:
            self.report.damage(name, f"bytes from {bad} on are no whole frames")

    @staticmethod
    def next_frame(name, data, place, head):
        if data[place:place + 8] != MAGIC:
            return None
        try:
            frame = Frame(data, place)
        except Damage as error:
            if "unknown" in str(error):
                raise
            return None
        return frame if frame.segment == head.segment and frame.is_whole() else None

    def commit(self, number, name, frame):
        sizes = struct.unpack_from("<IIII", frame.payload)
        require(len(frame.payload) <= 16 * 1024 * 1024 and sizes[3] == 0, "no commit record")
        prefix_size = 0 if sizes[2] == OVERFLOW_32 else sizes[2]
        require(16 + sizes[0] + sizes[1] + prefix_size == len(frame.payload), "lengths of a commit record")
        facts_at, prefix_at = 16 + sizes[0], 16 + sizes[0] + sizes[1]
        record, facts = parse(frame.payload[16:facts_at]), parse(frame.payload[facts_at:prefix_at])
        prefix = None if sizes[2] == OVERFLOW_32 else bytes(frame.payload[prefix_at:])
        receipt = receipt_number(record["receipt"]["number"])
        require(receipt == (frame.epoch, frame.receipt), "the frame is of another receipt than the record")
        self.commits.append((receipt, number, frame.offset, f"{name}, commit at {frame.offset}", record, facts, prefix))

    def instances(self, output):
        """The record in the highest segment, at the highest offset, whose content is whole, counts."""
        by_receipt = {}
        for commit in self.commits:
            by_receipt.setdefault(commit[0], []).append(commit)
        for receipt, commits in sorted(by_receipt.items()):
            failures = []
            for commit in sorted(commits, key=lambda one: one[1:3], reverse=True):
                try:
                    self.instance(commit, output)
                    break
                except Damage as error:
                    failures.append((commit[3], str(error)))
                except FileNotFoundError as error:
                    self.report.note(commit[3], f"content of receipt {receipt[0]}:{receipt[1]} is gone: {error.filename}")
                    break
            else:
                for where, what in failures:
                    self.report.damage(where, what)

    def instance(self, commit, output):
        _, _, _, where, record, facts, prefix = commit
        receipt, place = record["receipt"], record["content"]
        file = f"spill/{place['spill']}.bin" if "spill" in place else "segment-%010d.journal" % place["segment"]
        data = self.bytes_of(file)
        begin, length = place["offset"], place["length"]
        require(begin + length <= len(data), f"content beyond the end of {file}")
        content = data[begin:begin + length]
        require(length == facts["content_length"], "the record's length is not that of the facts")
        require(crc32c(content) == place["crc32c"], "content without its CRC-32C")
        require(sha256(content) == receipt["content"] == facts["version"]["content"], "content without its content id")
        require(receipt["transfer_syntax"] == facts["version"]["transfer_syntax"], "two transfer syntaxes")
        self.cut_list(data, place["tables"], content, facts)
        keys = facts["keys"]
        if prefix is None and receipt["door"] == "c-store":
            line = {"class": keys["sop_class"], "sop": keys["sop"], "syntax": receipt["transfer_syntax"]}
            composed = dict(receipt, **{"local_ae": receipt["resolved"]["local_ae"]} if "local_ae" in receipt["resolved"] else {})
            prefix = compose_prefix(line, composed)
        whole = (prefix or b"") + content
        if "file" in receipt:
            require(receipt["file"]["sha256"] == sha256(whole) and receipt["file"]["size"] == len(whole),
                    "the file does not have the SHA-256 in its receipt")
        self.report.file(sha256(whole), len(whole), keys["study"], keys["sop"], f"{where} ({receipt['number']})")
        if output:
            sink = output.open(keys["study"], keys["sop"])
            sink.write(whole)
            sink.keep(sha256(whole))

    @staticmethod
    def cut_list(data, tables, content, facts):
        """Units, fragments, frames; blocks of 65,536 bytes; a digest for each block, and one over these."""
        widths = (tables["units"], 32), (tables["fragments"], 16), (tables["frames"], 8)
        place, blocks, rows = tables["offset"], [], []
        for count, width in widths:
            table = data[place:place + count * width]
            require(len(table) == count * width, "a cut list that is cut off")
            rows.append(table)
            blocks.extend(table[at:at + 65_536] for at in range(0, len(table), 65_536))
            place += count * width
        digests = data[place:place + 16 * len(blocks)]
        require(b"".join(map(blake3_128, blocks)) == digests, "a block of the cut list without its digest")
        require(blake3_128(digests).hex() == tables["digest"], "a cut list without its digest")
        at = 0
        for offset, length, flags, digest in struct.iter_unpack("<QII16s", rows[0]):
            require(offset == at and 1 <= length <= FOUR_MIB, "units that do not cover the content")
            require(blake3_128(content[offset:offset + length]) == digest, f"the unit at {offset} without its digest")
            at += length
        require(at == len(content), "units that do not cover the content")
        require(tables["frames"] in (0, facts["frame_count"]), "another number of frames than the facts say")


def ledger_mode(root, report):
    """A ledger without the store around it; the archive is the one that its first segment says."""
    names = object_names(root)
    header, _, _ = split_segment(read(root, "ledger/000001/0000000/0000000000.jsonl.zst"))
    ledger = Ledger(root, names, header["archive"], report)
    ledger.walk()
    print_ledger(ledger)


def print_ledger(ledger):
    print(f"ledger\t{len(ledger.entries)}\t{ledger.tree.root().hex()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    store = modes.add_parser("store")
    store.add_argument("path")
    store.add_argument("--to")
    pack = modes.add_parser("pack")
    pack.add_argument("paths", nargs="+")
    pack.add_argument("--any-name", action="store_true", help="the name need not be the digest: find damage by the parts")
    members = modes.add_parser("members")
    members.add_argument("path")
    journal = modes.add_parser("journal")
    journal.add_argument("path")
    journal.add_argument("--to")
    ledger = modes.add_parser("ledger")
    ledger.add_argument("path")
    chosen = parser.parse_args()
    report = Report()
    output = Output(chosen.to) if getattr(chosen, "to", None) else None
    if chosen.mode == "store":
        StoreReader(chosen.path, report, output).run()
    elif chosen.mode == "pack":
        pack_mode(chosen.paths, chosen.any_name, report)
    elif chosen.mode == "members":
        report.guarded(chosen.path, members_mode, chosen.path, report)
    elif chosen.mode == "ledger":
        report.guarded("ledger", ledger_mode, chosen.path, report)
    else:
        JournalFolder(chosen.path, report).run(output)
    return 1 if report.damaged else 0


if __name__ == "__main__":
    sys.exit(main())
