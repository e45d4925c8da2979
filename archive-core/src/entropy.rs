//! Randomness, handed in, so that tests can repeat themselves.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// A source of random bytes.
pub trait Entropy: Send + Sync + std::fmt::Debug {
    /// Fills the buffer with bytes nobody can foretell.
    ///
    /// # Errors
    /// When the operating system has none to give; nothing that needs a nonce may go on then.
    fn fill(&self, buffer: &mut [u8]) -> std::io::Result<()>;

    /// Sixteen random bytes as 32 hexadecimal digits: nonces and ids.
    ///
    /// # Errors
    /// As [`Entropy::fill`].
    fn nonce(&self) -> std::io::Result<String> {
        let mut raw = [0_u8; 16];
        self.fill(&mut raw)?;
        Ok(hex::encode(raw))
    }
}

/// A source that several parts share.
pub type SharedEntropy = Arc<dyn Entropy>;

/// The operating system's generator.
#[derive(Debug)]
pub struct SystemEntropy;

impl SystemEntropy {
    /// The operating system's generator, shared.
    #[must_use]
    pub fn shared() -> SharedEntropy {
        Arc::new(Self)
    }
}

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the operating system")]
    fn fill(&self, buffer: &mut [u8]) -> std::io::Result<()> {
        getrandom::fill(buffer).map_err(std::io::Error::other)
    }
}

/// Bytes that follow from a seed: for tests only, where the seed is printed.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    drawn: std::sync::atomic::AtomicU64,
}

impl SeededEntropy {
    /// A generator that repeats itself for the same seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> SharedEntropy {
        Arc::new(Self { seed, drawn: std::sync::atomic::AtomicU64::new(0) })
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) -> std::io::Result<()> {
        for chunk in buffer.chunks_mut(32) {
            let draw = self.drawn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let block = Sha256::new().chain_update(self.seed.to_le_bytes()).chain_update(draw.to_le_bytes()).finalize();
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}
