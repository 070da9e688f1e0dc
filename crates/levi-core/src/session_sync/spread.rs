//! Sealing for many devices, spread over the processor's cores, and the one random source they share.

use std::convert::Infallible;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

use rand_core::{CryptoRng, TryCryptoRng, TryRng};

/// Does `work` for every item, on as many threads as there are cores, while this one waits. The answers are in the
/// order of `items`. A single item starts no thread.
///
/// This thread takes no share: systems start a thread on the processor of the one that made it, and with few items
/// that one would be done with all of them before another processor takes the thread over.
pub(super) fn spread<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if items.len() <= 1 {
        return items.iter().map(work).collect();
    }
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = items.len().div_ceil(cores);
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = items
            .chunks(share)
            .map(|chunk| scope.spawn(move || chunk.iter().map(work).collect::<Vec<R>>()))
            .collect();
        let done = threads.into_iter().flat_map(|thread| {
            // A panic over there is this thread's too, as it would be without threads.
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        done.collect()
    })
}

/// A random source that is held for one draw at a time.
pub(super) struct Draws<'a>(pub(super) &'a Mutex<dyn CryptoRng + Send + 'static>);

impl TryRng for Draws<'_> {
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

impl TryCryptoRng for Draws<'_> {}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn every_item_is_answered_in_its_place_however_many_there_are() {
        for items in [0, 1, 2, 3, 7, 1000] {
            let items: Vec<usize> = (0..items).collect();
            let doubled: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(spread(&items, |item| item * 2), doubled);
        }
    }
}
