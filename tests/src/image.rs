//! A file system of its own in a file, for tests of what a whole disk can do. It needs root, loop devices and mkfs.ext4;
//! where one is missing, that is said and the test is skipped.

use std::path::PathBuf;
use std::process::Command;

/// An ext4 in an image file, mounted.
#[derive(Debug)]
pub struct Image {
    folder: tempfile::TempDir,
    is_mounted: bool,
}

impl Image {
    /// A fresh one of so many bytes, most of it a hole; `None`, and a line that says what is not tested, where this
    /// machine cannot mount one.
    #[must_use]
    pub fn fresh(bytes: u64, not_tested: &str) -> Option<Self> {
        let beside = crate::vellum::program().parent().map(|folder| folder.join("test-data"))?;
        Self::fresh_in(&beside, bytes, not_tested)
    }

    /// As [`Image::fresh`], in a folder of the caller's choice.
    #[must_use]
    pub fn fresh_in(beside: &std::path::Path, bytes: u64, not_tested: &str) -> Option<Self> {
        std::fs::create_dir_all(beside).expect("a folder");
        let folder = tempfile::tempdir_in(beside).expect("a folder");
        let image = folder.path().join("disk.img");
        std::fs::File::create(&image).and_then(|file| file.set_len(bytes)).expect("an image");
        let mut made = Command::new("mkfs.ext4");
        let made = made.args(["-q", "-E", "lazy_itable_init=1"]).arg(&image).output();
        if !made.is_ok_and(|made| made.status.success()) {
            eprintln!("skipped: {not_tested}: mkfs.ext4 does not work (package e2fsprogs)");
            return None;
        }
        std::fs::create_dir(folder.path().join("mount")).expect("a folder");
        let mut image = Self { folder, is_mounted: false };
        if let Err(error) = image.mount() {
            eprintln!("skipped: {not_tested}: an image cannot be mounted (root and loop devices): {error}");
            return None;
        }
        Some(image)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn mount_point(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    /// Mounts it.
    ///
    /// # Errors
    /// What mount(8) says.
    pub fn mount(&mut self) -> Result<(), String> {
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(self.folder.path().join("disk.img"))
            .arg(self.mount_point()))?;
        self.is_mounted = true;
        Ok(())
    }

    /// Unmounts it; an empty folder is left in its place.
    ///
    /// # Errors
    /// What umount(8) says: something on it is open, most likely.
    pub fn unmount(&mut self) -> Result<(), String> {
        run(Command::new("umount").arg(self.mount_point()))?;
        self.is_mounted = false;
        Ok(())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if self.is_mounted {
            let _unmounted = run(Command::new("umount").arg("-l").arg(self.mount_point()));
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}
