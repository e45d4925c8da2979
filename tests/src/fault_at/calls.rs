//! The system calls that change files, and what each of them says of the file.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::Pid;

use super::plan::Site;

/// Longest path that is read from the program's memory (Linux' PATH_MAX).
const PATH_BYTES_MAX: usize = 4096;

/// Where a call says which file it is about.
#[derive(Clone, Copy)]
pub(super) enum Says {
    /// An open file, by its number in this argument.
    File(usize),
    /// A path in this argument, from the working directory.
    Path(usize),
    /// A folder's number in the first argument and a path in the second, from there.
    At(usize, usize),
}

/// Every call that is looked at: number, name, where it says what it is about.
pub(super) const CALLS: &[(i64, &str, Says)] = &[
    (libc::SYS_write, "write", Says::File(0)),
    (libc::SYS_pwrite64, "pwrite64", Says::File(0)),
    (libc::SYS_writev, "writev", Says::File(0)),
    (libc::SYS_pwritev, "pwritev", Says::File(0)),
    (libc::SYS_pwritev2, "pwritev2", Says::File(0)),
    (libc::SYS_sendto, "sendto", Says::File(0)),
    (libc::SYS_sendmsg, "sendmsg", Says::File(0)),
    (libc::SYS_fdatasync, "fdatasync", Says::File(0)),
    (libc::SYS_fsync, "fsync", Says::File(0)),
    (libc::SYS_sync_file_range, "sync_file_range", Says::File(0)),
    (libc::SYS_ftruncate, "ftruncate", Says::File(0)),
    (libc::SYS_fallocate, "fallocate", Says::File(0)),
    (libc::SYS_truncate, "truncate", Says::Path(0)),
    (libc::SYS_rename, "rename", Says::Path(1)),
    (libc::SYS_renameat, "renameat", Says::At(2, 3)),
    (libc::SYS_renameat2, "renameat2", Says::At(2, 3)),
    (libc::SYS_link, "link", Says::Path(1)),
    (libc::SYS_linkat, "linkat", Says::At(2, 3)),
    (libc::SYS_unlink, "unlink", Says::Path(0)),
    (libc::SYS_unlinkat, "unlinkat", Says::At(0, 1)),
    (libc::SYS_mkdir, "mkdir", Says::Path(0)),
    (libc::SYS_mkdirat, "mkdirat", Says::At(0, 1)),
    (libc::SYS_rmdir, "rmdir", Says::Path(0)),
    // Only where a file may be created: the filter sees to it.
    (libc::SYS_open, "open", Says::Path(0)),
    (libc::SYS_openat, "openat", Says::At(0, 1)),
];

/// Whether a call writes so many bytes as its third argument says.
pub(super) fn writes_length(number: i64) -> bool {
    number == libc::SYS_write || number == libc::SYS_pwrite64
}

/// The call that a thread is about to make; `None` for one that is of no interest, as a line of the log.
pub(super) fn site(thread: Pid, number: i64, arguments: [u64; 6], below: &Path) -> Option<Site> {
    let (_, call, says) = CALLS.iter().find(|(of, _, _)| *of == number)?;
    let argument = |at: usize| arguments.get(at).copied().unwrap_or_default();
    let path = match *says {
        Says::File(at) => opened(thread, argument(at))?,
        Says::Path(at) => named(thread, argument(at))?,
        Says::At(folder, path) => {
            let path = named(thread, argument(path))?;
            if path.is_absolute() { path } else { opened(thread, argument(folder)).unwrap_or_default().join(path) }
        }
    };
    let text = path.to_str()?;
    if text.starts_with("socket:") {
        return Some(Site { call: (*call).to_owned(), place: "socket".to_owned() });
    }
    // Pipes (the log), event descriptors, terminals.
    if !text.starts_with('/') || text.starts_with("/dev/null") || text.starts_with("/dev/pts") {
        return None;
    }
    let place = match path.strip_prefix(below).unwrap_or(&path).to_str()? {
        "" => ".",
        place => place,
    };
    Some(Site { call: (*call).to_owned(), place: normalised(place) })
}

/// What a number of an open file stands for. `AT_FDCWD` stands for nothing: a relative path stays one.
fn opened(thread: Pid, number: u64) -> Option<PathBuf> {
    // The kernel takes an int.
    let number = i32::try_from(number & 0xFFFF_FFFF).ok()?;
    std::fs::read_link(format!("/proc/{thread}/fd/{number}")).ok()
}

/// A path that lies at an address of a thread's memory.
fn named(thread: Pid, address: u64) -> Option<PathBuf> {
    let memory = std::fs::File::open(format!("/proc/{thread}/mem")).ok()?;
    let mut bytes = vec![0; PATH_BYTES_MAX];
    let mut length = 0;
    while length < bytes.len() {
        // No further than a page: the next one may not be there.
        let page_rest = 4096 - usize::try_from((address + length as u64) % 4096).ok()?;
        let end = (length + page_rest).min(bytes.len());
        let read = memory.read_at(bytes.get_mut(length..end)?, address + length as u64).ok()?;
        if let Some(zero) = bytes.get(length..length + read)?.iter().position(|byte| *byte == 0) {
            bytes.truncate(length + zero);
            return String::from_utf8(bytes).ok().map(PathBuf::from);
        }
        if read == 0 {
            return None;
        }
        length += read;
    }
    None
}

/// A path without what is drawn at random or counted: numbers are `#`, digests and random names `@`.
fn normalised(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    let normalised = parts.iter().enumerate().map(|(at, part)| {
        // The first digits of a digest.
        let is_of_digest = part.len() == 2 && at > 0 && parts.get(at - 1) == Some(&"studies");
        if is_of_digest { "@".to_owned() } else { normalised_part(part) }
    });
    normalised.collect::<Vec<_>>().join("/")
}

fn normalised_part(part: &str) -> String {
    let mut out = String::new();
    let mut rest = part;
    while let Some(first) = rest.chars().next() {
        let hex = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (length, mark) = match (hex, first.is_ascii_digit()) {
            (16.., _) => (hex, '@'),
            // What ends with a full stop is followed by an extension.
            (_, true) => (rest.get(..digits).unwrap_or_default().trim_end_matches('.').len(), '#'),
            _ => (first.len_utf8(), first),
        };
        out.push(mark);
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn a_place_is_the_same_in_every_run() {
        for (path, place) in [
            ("journal/segment-0000000012.journal", "journal/segment-#.journal"),
            ("store/studies/ba/1.2.826.0.1/0123456789abcdef0123456789abcdef.zip", "store/studies/@/#/@.zip"),
            ("store/studies/07/1.2.3/ffffffffffffffffffffffff.zip", "store/studies/@/#/@.zip"),
            ("journal/spill/0123456789abcdef0123456789abcdef.bin", "journal/spill/@.bin"),
            ("catalog", "catalog"),
        ] {
            assert_eq!(normalised(path), place);
        }
    }
}
