//! Random numbers that do not fail once Levi has started.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use rand::SeedableRng as _;
use rand::rngs::{StdRng, SysRng};
use rand_core::{CryptoRng, Rng as _, TryCryptoRng, TryRng};

/// The operating system's random numbers. Where it has none, those of a generator that it seeded at the start. Clones
/// share that generator.
#[derive(Clone)]
pub(crate) struct SystemRandom<R = SysRng> {
    system: R,
    seeded: Arc<Mutex<StdRng>>,
}

impl SystemRandom {
    /// # Errors
    /// If the operating system has no random numbers.
    pub(crate) fn new() -> Result<Self, <SysRng as TryRng>::Error> {
        Self::over(SysRng)
    }
}

impl<R: TryCryptoRng> SystemRandom<R> {
    fn over(mut system: R) -> Result<Self, R::Error> {
        let seeded = Arc::new(Mutex::new(StdRng::try_from_rng(&mut system)?));
        Ok(Self { system, seeded })
    }

    fn seeded<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        // A thread that panicked left the generator usable: every draw is one call.
        draw(&mut self.seeded.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<R: TryCryptoRng> TryRng for SystemRandom<R> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.system.try_next_u32().unwrap_or_else(|_| self.seeded(StdRng::next_u32)))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.system.try_next_u64().unwrap_or_else(|_| self.seeded(StdRng::next_u64)))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        if self.system.try_fill_bytes(bytes).is_err() {
            self.seeded(|seeded| seeded.fill_bytes(bytes));
        }
        Ok(())
    }
}

impl<R: TryCryptoRng> TryCryptoRng for SystemRandom<R> {}

/// A random source that several share, locked for one draw at a time.
pub(crate) struct SharedRng<'a, R: ?Sized>(pub(crate) &'a Mutex<R>);

impl<R: CryptoRng + ?Sized> TryRng for SharedRng<'_, R> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        // A thread that panicked left the generator usable: every draw is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
        Ok(())
    }
}

impl<R: CryptoRng + ?Sized> TryCryptoRng for SharedRng<'_, R> {}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no random numbers")]
    struct None;

    /// Has so many random numbers, then none.
    struct Runs(u32);

    impl TryRng for Runs {
        type Error = None;

        fn try_next_u32(&mut self) -> Result<u32, None> {
            self.try_next_u64().map(|number| number as u32)
        }

        fn try_next_u64(&mut self) -> Result<u64, None> {
            self.0 = self.0.checked_sub(1).ok_or(None)?;
            Ok(u64::from(self.0))
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), None> {
            let number = self.try_next_u64()?;
            bytes.fill(number as u8);
            Ok(())
        }
    }

    impl TryCryptoRng for Runs {}

    #[test]
    fn a_system_without_random_numbers_is_an_error_at_the_start_and_nothing_later() {
        assert!(SystemRandom::over(Runs(0)).is_err());
        let mut random = SystemRandom::over(Runs(2)).unwrap();
        let mut nonce = [0; 24];
        random.fill_bytes(&mut nonce);
        assert_eq!(nonce, [0; 24], "the system's, while it has some");
        let mut nonces = HashSet::new();
        for _ in 0..1000 {
            random.fill_bytes(&mut nonce);
            assert!(nonces.insert(nonce), "never the same twice");
        }
        assert_ne!((random.next_u32(), random.next_u64()), (0, 0));
    }
}
