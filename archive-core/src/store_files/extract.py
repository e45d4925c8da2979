#!/usr/bin/env python3
"""Lists, verifies and extracts the DICOM files of a Vellum store, without Vellum.

  python3 extract.py [--store FOLDER] verify  [--study UID]
  python3 extract.py [--store FOLDER] list    [--study UID]
  python3 extract.py [--store FOLDER] extract TARGET [--study UID] [--all-versions]

The store is the folder in which this file lies, unless --store says otherwise.
It needs Python 3.8 or newer and one of the programs zstd, 7zz (or 7z), bsdtar.
Exit code: 0 all well, 1 something is damaged or missing, 2 it could not run.

What is checked: a pack's SHA-256 against its name; the root against the ledger, where it can be read; index, metadata and
tables against the root; every data set against its content id (SHA-256); every file against the digest in its receipt;
every unit that an index line lists against its BLAKE3 digest, if the Python module "blake3" is there. A file appears in TARGET only after
its checks; nothing that exists there is overwritten. Names in TARGET are made of digits, dots and digests alone.
"""
import argparse
import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile

try:
    from blake3 import blake3
except ImportError:
    blake3 = None

CHUNK = 1 << 20
ZSTD_PROGRAMS = ("zstd", "7zz", "7z", "bsdtar")


class Damaged(Exception):
    """Something is not what it was recorded to be."""


class Unpacker:
    """Opens zstd streams with whichever program there is."""

    def __init__(self, wanted):
        found = [name for name in ([wanted] if wanted else ZSTD_PROGRAMS) if shutil.which(name)]
        if not found:
            print("extract.py: install one of zstd, 7zz, 7z, bsdtar, and try again", file=sys.stderr)
            sys.exit(2)
        self.program = found[0]

    def member(self, pack, name, offset, stored, method):
        """Yields the original bytes of a member of a pack, piece by piece."""
        if method == 0:
            yield from pieces_of(pack, offset, stored)
        elif method != 93:
            raise Damaged(f"{name}: compression method {method} is none of format 1")
        elif self.program == "bsdtar":
            yield from self.run(["bsdtar", "-xOf", pack, name], None, name)
        else:
            yield from self.stream(pieces_of(pack, offset, stored), name)

    def stream(self, pieces, name):
        """Yields the original bytes of a zstd stream. Several frames in a row are one stream (RFC 8878, 3)."""
        command = ["zstd", "-dcq"] if self.program == "zstd" else [self.program, "x", "-tzstd", "-si", "-so"]
        yield from self.run(command, pieces, name)

    def run(self, command, pieces, name):
        process = subprocess.Popen(command, stdin=subprocess.PIPE if pieces is not None else subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

        def feed():
            try:
                for piece in pieces:
                    process.stdin.write(piece)
            except (BrokenPipeError, OSError):
                pass  # the program ended early; its exit code says why
            finally:
                try:
                    process.stdin.close()
                except OSError:
                    pass

        feeder = threading.Thread(target=feed, daemon=True) if pieces is not None else None
        if feeder:
            feeder.start()
        try:
            while True:
                piece = process.stdout.read(CHUNK)
                if not piece:
                    break
                yield piece
        finally:
            process.stdout.close()
            if feeder:
                feeder.join()
            code = process.wait()
        if code != 0:
            raise Damaged(f"{name}: {self.program} could not unpack it (exit code {code})")


def pieces_of(path, offset, length):
    """Yields bytes of a file."""
    with open(path, "rb") as file:
        file.seek(offset)
        while length > 0:
            piece = file.read(min(CHUNK, length))
            if not piece:
                raise Damaged(f"{path} is shorter than its index says")
            length -= len(piece)
            yield piece


class Exactly:
    """Takes runs of given lengths from pieces."""

    def __init__(self, pieces):
        self.pieces = iter(pieces)
        self.rest = b""

    def take(self, length):
        """Yields exactly `length` bytes, piece by piece."""
        while length > 0:
            piece = self.rest or next(self.pieces, b"")
            if not piece:
                raise Damaged("it ends too early")
            taken, self.rest = piece[:length], piece[length:]
            length -= len(taken)
            yield taken

    def end(self):
        if self.rest or next(self.pieces, b""):
            raise Damaged("it goes on after its end")


def sha256_of(pieces):
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


class Pack:
    """One ZIP file of a study."""

    def __init__(self, path, unpacker):
        self.path, self.unpacker = path, unpacker
        self.name = os.path.basename(path)
        try:
            with zipfile.ZipFile(path) as archive:
                self.entries = {entry.filename: entry for entry in archive.infolist()}
                self.root_bytes = archive.read("vellum/root.json")
            self.root = json.loads(self.root_bytes)
        except Exception as error:  # a damaged ZIP file makes zipfile raise nearly anything
            raise Damaged(f"{self.name}: cannot be opened: {error}")
        if self.root.get("vellum") != "pack" or self.root.get("format") != 1:
            raise Damaged(f"{self.name}: is of format {self.root.get('format')}; this program reads format 1")
        if self.root.get("features"):
            raise Damaged(f"{self.name}: needs features that this program does not know: {self.root['features']}")

    def check_name(self):
        size = os.path.getsize(self.path)
        if sha256_of(pieces_of(self.path, 0, size)) + ".zip" != self.name:
            raise Damaged(f"{self.name}: its bytes do not have the SHA-256 that is its name")

    def parts(self, name, parts, method):
        """Yields the original bytes of a member's parts, each checked against its SHA-256 in the root."""
        if not parts:
            return
        offset, stored = parts[0]["offset"], sum(part["stored"] for part in parts)
        source = Exactly(self.unpacker.member(self.path, name, offset, stored, method))
        for part in parts:
            text = b"".join(source.take(part["length"]))
            if hashlib.sha256(text).hexdigest() != part["sha256"]:
                raise Damaged(f"{self.name}: {name} does not have its digest")
            yield text
        source.end()

    def lines(self):
        """Yields the lines of the index."""
        index = self.root["index"]
        for text in self.parts("vellum/index.jsonl", index["units"], index["method"]):
            for line in text.split(b"\n")[:-1]:
                yield json.loads(line)

    def check_rest(self):
        """Checks what extracting does not read: headers and tables."""
        metadata, frames = self.root["metadata"], self.root.get("frames")
        for _ in self.parts("vellum/metadata.jsonl", metadata["units"], metadata["method"]):
            pass
        if frames:
            for _ in self.parts("vellum/frames.bin", frames["blocks"], frames["method"]):
                pass

    def content(self, line, prefix_to, content_to):
        """Streams a version: its prefix to one function, its content to another. Checks both, the units too if it can."""
        member = line["member"]
        prefix = base64.b64decode(member["prefix"])
        source = Exactly(self.unpacker.member(self.path, member["name"], member["offset"], member["stored"],
                                              member["method"]))
        units = Units(self.name, line) if blake3 and "units" in member else None
        found = b"".join(source.take(len(prefix)))
        if found != prefix:
            raise Damaged(f"{self.name}: {member['name']} has another prefix than its index says")
        prefix_to(prefix)
        if units:
            units.update(prefix)
        digest = hashlib.sha256()
        for piece in source.take(line["content_length"]):
            digest.update(piece)
            if units:
                units.update(piece)
            content_to(piece)
        source.end()
        if digest.hexdigest() != line["content"]:
            raise Damaged(f"{self.name}: {member['name']} does not have its content id")


class Units:
    """Checks units as their bytes go by."""

    def __init__(self, pack, line):
        self.what = f"{pack}: {line['member']['name']}"
        self.units = iter(line["member"]["units"])
        self.left, self.expected, self.digest = 0, None, None

    def update(self, piece):
        while piece:
            if self.left == 0:
                unit = next(self.units, None)
                if unit is None:
                    raise Damaged(f"{self.what} has bytes outside its units")
                self.left, self.expected, self.digest = unit[1], unit[4], blake3()
            taken, piece = piece[:self.left], piece[self.left:]
            self.digest.update(taken)
            self.left -= len(taken)
            if self.left == 0 and self.digest.hexdigest()[:32] != self.expected:
                raise Damaged(f"{self.what} has a unit without its digest")


def component(uid):
    """The form of a UID that may be part of a file's name."""
    if len(uid) <= 64 and re.fullmatch(r"[0-9]+(\.[0-9]+)*", uid, re.ASCII):
        return uid
    return "x-" + hashlib.sha256(uid.encode()).hexdigest()[:32]


def number_of(receipt):
    epoch, number = receipt["number"].split(":")
    return int(epoch), int(number)


class Version:
    """A version of an instance: where it lies, and the files that it came as."""

    def __init__(self, study, line):
        self.study, self.line = study, line
        self.places, self.numbers = [], []
        self.prefixes = {}  # prefix in base64 -> (lowest receipt number, digests of the file)
        self.first = None  # the lowest-numbered receipt and its prefix; no prefix where this pack does not say it

    def add(self, pack, line):
        member = line.get("member")
        if member:
            self.places.append((pack, line))
            self.line = line
        for receipt in line["receipts"]:
            self.numbers.append(number_of(receipt))
            prefix = receipt.get("prefix", member["prefix"] if member else None)
            if self.first is None or number_of(receipt) < self.first[0]:
                self.first = (number_of(receipt), prefix)
            if receipt.get("bare"):
                continue  # no file came that could be given back
            if prefix is None:
                raise Damaged(f"{pack.name}: receipt {receipt['number']} is of a file and has no prefix")
            number, digests = self.prefixes.get(prefix, (number_of(receipt), set()))
            if "file" in receipt:
                digests.add(receipt["file"]["sha256"])
            self.prefixes[prefix] = (min(number, number_of(receipt)), digests)

    def files(self, member):
        """The files to make of a member: (prefix in base64, ending of the name, digests). The first is that of the
        lowest-numbered receipt; where that brought a bare data set, its prefix was composed when it was sealed."""
        first = self.first[1] or member["prefix"]
        files = [(first, "", self.prefixes.get(first, (None, set()))[1])]
        for prefix, (number, digests) in sorted(self.prefixes.items(), key=lambda item: item[1][0]):
            if prefix != first:
                files.append((prefix, "~r%d-%d" % number, digests))
        return files


class Target:
    """Files that appear only when they are complete and checked."""

    def __init__(self, base, files):
        self.files = []
        for prefix, ending, digests in files:
            path = base and base + ending + ".dcm"
            if path:
                os.makedirs(os.path.dirname(path), exist_ok=True)
            part = tempfile.NamedTemporaryFile(dir=os.path.dirname(path), suffix=".part", delete=False) if path else None
            self.files.append((base64.b64decode(prefix), path, part, digests, hashlib.sha256()))

    def start(self, _prefix):
        for prefix, _, part, _, digest in self.files:
            digest.update(prefix)
            if part:
                part.write(prefix)

    def write(self, piece):
        for _, _, part, _, digest in self.files:
            digest.update(piece)
            if part:
                part.write(piece)

    def finish(self, what):
        for _, path, part, digests, digest in self.files:
            if digests and digests != {digest.hexdigest()}:
                raise Damaged(f"{what}: a file does not have the digest in its receipt")
            if part:
                part.close()
                try:
                    os.link(part.name, path)  # unlike rename, it overwrites nothing
                except OSError:
                    if os.path.lexists(path):
                        raise Damaged(f"{path} exists already; it was left as it is")
                    os.rename(part.name, path)  # a file system without links

    def clean(self):
        for _, _, part, _, _ in self.files:
            if part:
                part.close()
                if os.path.exists(part.name):
                    os.unlink(part.name)


class Ledger:
    """What the ledger says of packs: the roots of all, and which should be in this store."""

    def __init__(self, store):
        self.store, self.roots, self.here = store, {}, set()

    def fold(self, entry):
        kind = entry.get("kind")
        if kind in ("sealed", "merged"):
            self.roots[entry["pack"]] = entry["root"]["sha256"]
            if self.store in entry["stores"]:
                self.here.add(entry["pack"])
        elif kind == "copied" and entry["store"] == self.store:
            self.here.add(entry["pack"])
        elif kind == "deleted" and entry["store"] == self.store and entry["ground"] != "repaired":
            self.here -= {os.path.basename(name).split(".")[0] for name in entry["objects"]}


class Run:
    """One run of a verb."""

    def __init__(self, store, unpacker, study):
        self.store, self.unpacker, self.study = store, unpacker, study
        self.findings = 0
        self.counts = {"packs": 0, "versions": 0, "files": 0, "bytes": 0}

    def finding(self, text):
        self.findings += 1
        print(f"DAMAGED {text}", file=sys.stderr)

    def studies(self):
        """Yields the paths of the packs, study by study."""
        top = os.path.join(self.store, "studies")
        for fan in sorted(os.listdir(top)) if os.path.isdir(top) else []:
            for study in sorted(os.listdir(os.path.join(top, fan))):
                if self.study and study != component(self.study):
                    continue
                folder = os.path.join(top, fan, study)
                yield [os.path.join(folder, name) for name in sorted(os.listdir(folder))]

    def packs(self, paths):
        for path in paths:
            if not path.endswith(".zip"):
                self.finding(f"{path}: is no pack of format 1")
                continue
            try:
                pack = Pack(path, self.unpacker)
                self.counts["packs"] += 1
                yield pack
            except Damaged as error:
                self.finding(error)

    def versions(self, packs):
        """The versions of a study, from all its packs."""
        versions = {}
        for pack in packs:
            try:
                for line in pack.lines():
                    key = (line["sop"], line["content"], line["syntax"])
                    versions.setdefault(key, Version(pack.root["study"], line)).add(pack, line)
            except (Damaged, KeyError, TypeError, ValueError) as error:
                self.finding(error if isinstance(error, Damaged) else f"{pack.name}: {type(error).__name__}: {error}")
        return versions

    def read(self, version, base):
        """Reads a version from the first pack that has it undamaged; writes its files if `base` is a path."""
        last = Damaged(f"{version.line['sop']}: no pack holds its bytes")
        for pack, line in version.places:
            target = Target(base, version.files(line["member"]))
            try:
                pack.content(line, target.start, target.write)
                target.finish(pack.name)
                self.counts["versions"] += 1
                self.counts["files"] += len(target.files)
                self.counts["bytes"] += line["content_length"]
                return
            except Damaged as error:
                last = error
            except (KeyError, TypeError, ValueError, OSError) as error:
                last = Damaged(f"{pack.name}: {type(error).__name__}: {error}")
            finally:
                target.clean()
        self.finding(last)

    def verify(self):
        ledger = None if self.study else self.ledger()
        for paths in self.studies():
            good = []
            for pack in self.packs(paths):
                try:
                    pack.check_name()
                    pack.check_rest()
                    if ledger is not None:
                        self.check_ledger(ledger, pack)
                except (Damaged, KeyError) as error:
                    self.finding(error)
                good.append(pack)
            for version in self.versions(good).values():
                for place in version.places:
                    alone = Version(version.study, place[1])
                    alone.places, alone.prefixes, alone.first = [place], version.prefixes, version.first
                    self.read(alone, None)
                if not version.places:
                    self.read(version, None)
        for name in sorted(ledger.here if ledger else ()):
            self.finding(f"{name}.zip: the ledger says that it is here, and it is not")

    def check_ledger(self, ledger, pack):
        name = pack.name[:-4]
        ledger.here.discard(name)
        if name not in ledger.roots:
            print(f"note: {pack.name}: the ledger does not name it", file=sys.stderr)
        elif hashlib.sha256(pack.root_bytes).hexdigest() != ledger.roots[name]:
            raise Damaged(f"{pack.name}: its root does not have the digest in the ledger")

    def ledger(self):
        """What the ledger says of packs. None where it cannot be read."""
        top = os.path.join(self.store, "ledger")
        if self.unpacker.program == "bsdtar" or not os.path.isdir(top):
            why = "it needs zstd or 7zz" if os.path.isdir(top) else "there is none here"
            print(f"note: the ledger is not compared: {why}", file=sys.stderr)
            return None
        try:
            with open(os.path.join(self.store, "archive.json"), encoding="utf-8") as file:
                ledger = Ledger(json.load(file)["store"])
        except (OSError, KeyError, ValueError) as error:
            self.finding(f"archive.json: {error}")
            return None
        for folder, folders, names in os.walk(top):
            folders.sort()
            for name in sorted(name for name in names if re.fullmatch(r"[0-9]{10}\.jsonl\.zst", name)):
                path = os.path.join(folder, name)
                try:
                    text = b"".join(self.unpacker.stream(pieces_of(path, 0, os.path.getsize(path)), path))
                    for line in text.splitlines():
                        ledger.fold(json.loads(line))
                except (Damaged, ValueError, KeyError, TypeError) as error:
                    self.finding(f"{path}: {error}")
        return ledger

    def list(self):
        print("study\tseries\tinstance\tsyntax\tcontent\tbytes\treceipts\tpack")
        for paths in self.studies():
            for version in self.versions(list(self.packs(paths))).values():
                line = version.line
                where = ",".join(pack.name for pack, _ in version.places) or "-"
                fields = [version.study, line["series"], line["sop"], line["syntax"], line["content"],
                          line["content_length"], len(version.numbers), where]
                print("\t".join(str(field).encode("unicode_escape").decode() for field in fields))
                self.counts["versions"] += 1

    def extract(self, target, all_versions):
        further = 0
        for paths in self.studies():
            instances = {}
            for (sop, _, _), version in self.versions(list(self.packs(paths))).items():
                instances.setdefault(sop, []).append(version)
            for versions in instances.values():
                versions.sort(key=lambda version: max(version.numbers), reverse=True)
                further += len(versions) - 1
                names = set()
                for version in versions if all_versions else versions[:1]:
                    self.read(version, os.path.join(target, self.name(version, names)))
        if further and not all_versions:
            print(f"note: {further} further versions were left out; --all-versions extracts them", file=sys.stderr)

    @staticmethod
    def name(version, names):
        """The version received last has the plain name."""
        line = version.line
        folder = os.path.join(component(version.study), component(line["series"]))
        sop, content, syntax = component(line["sop"]), line["content"], component(line["syntax"])
        if not re.fullmatch("[0-9a-f]{64}", content):
            raise Damaged("a content id is not 64 hexadecimal digits")
        name = next(name for name in (sop, f"{sop}~{content}", f"{sop}~{content}~{syntax}") if name not in names)
        names.add(name)
        return os.path.join(folder, name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default=os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--program", choices=ZSTD_PROGRAMS, help="the unpacking program to use")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("verify", "list", "extract"):
        options = verbs.add_parser(verb)
        if verb == "extract":
            options.add_argument("target")
            options.add_argument("--all-versions", action="store_true")
        options.add_argument("--study", help="this Study Instance UID only")
    options = parser.parse_args()
    run = Run(options.store, Unpacker(options.program), options.study)
    if options.verb == "extract":
        run.extract(options.target, options.all_versions)
    else:
        getattr(run, options.verb)()
    counted = ", ".join(f"{count} {what}" for what, count in run.counts.items() if count)
    print(f"{counted or 'nothing'}; {run.findings} findings", file=sys.stderr)
    return 1 if run.findings else 0


if __name__ == "__main__":
    sys.exit(main())
