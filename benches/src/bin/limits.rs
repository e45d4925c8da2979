//! What this machine can do at most, now: hashing, compressing, making bytes durable, moving them over loopback. One
//! JSON line. Every result of a bench is told beside the limit that it could have reached.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people and scripts")]
#![allow(clippy::disallowed_methods, reason = "a bench measures the machine's own time")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use benches::numbers::Numbers;
use benches::pixels::Scanner;
use benches::shapes::CT_NOISE;
use clap::Parser;
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Measures the machine.
#[derive(Parser, Debug)]
#[command(name = "limits", version)]
struct Arguments {
    /// Folder on the disk whose limits count.
    #[arg(long, value_name = "DIR")]
    on: PathBuf,
}

/// Bytes of one CT instance.
const INSTANCE: usize = 526_000;
/// Each measurement goes on for at least so long.
const WHILE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    match measure(&Arguments::parse().on) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("limits: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(on: &Path) -> std::io::Result<serde_json::Value> {
    let mut scanner = Scanner::new(Numbers::of(1), CT_NOISE);
    let mut pixels = Vec::new();
    (0..32).for_each(|_| scanner.frame(512, 512, &mut pixels));
    let hash = per_second(pixels.len(), || {
        std::hint::black_box(Sha256::digest(&pixels));
        Ok(())
    })?;
    let mut stored = 0;
    let compress = per_second(pixels.len(), || {
        stored = pixels.chunks(1 << 19).map(zstd_3).sum::<std::io::Result<usize>>()?;
        Ok(())
    })?;
    #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
    let ratio = pixels.len() as f64 / stored as f64;
    let file = on.join("limits.tmp");
    let appends = |bytes: usize, count: usize| appends_per_second(&file, &pixels[..bytes], count);
    let line = json!({
        "sha256_mb_per_s": hash / 1e6,
        "zstd3_mb_per_s": compress / 1e6,
        "zstd3_ratio": ratio,
        "append_1_x_526kb_fdatasync_per_s": appends(INSTANCE, 1)?,
        "append_16_x_526kb_fdatasync_per_s": appends(INSTANCE, 16)?,
        "append_1_x_8kb_fdatasync_per_s": appends(8192, 1)?,
        "append_16_x_8kb_fdatasync_per_s": appends(8192, 16)?,
        "loopback_mb_per_s": loopback()? / 1e6,
    });
    std::fs::remove_file(&file)?;
    Ok(line)
}

fn zstd_3(bytes: &[u8]) -> std::io::Result<usize> {
    zstd::bulk::compress(bytes, 3).map(|stored| stored.len())
}

/// How much a second, where each call does so much.
#[allow(clippy::cast_precision_loss, reason = "rates for people")]
fn per_second(each: usize, mut call: impl FnMut() -> std::io::Result<()>) -> std::io::Result<f64> {
    call()?;
    let (begin, mut calls) = (Instant::now(), 0_usize);
    while begin.elapsed() < WHILE {
        call()?;
        calls += 1;
    }
    Ok((calls * each) as f64 / begin.elapsed().as_secs_f64())
}

/// Records a second, when so many share one `fdatasync`.
fn appends_per_second(path: &Path, record: &[u8], together: usize) -> std::io::Result<f64> {
    let mut file = File::create(path)?;
    per_second(together, || {
        (0..together).try_for_each(|_| file.write_all(record))?;
        file.sync_data()
    })
}

fn loopback() -> std::io::Result<f64> {
    const PIECE: usize = 256 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut to = TcpStream::connect(listener.local_addr()?)?;
    let (mut from, _) = listener.accept()?;
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; PIECE];
        while from.read(&mut buffer).is_ok_and(|read| read > 0) {}
    });
    let piece = vec![7; PIECE];
    let rate = per_second(PIECE, || to.write_all(&piece))?;
    drop(to);
    let _ended = reader.join();
    Ok(rate)
}
