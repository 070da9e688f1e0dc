//! Sealing for many devices on all cores.

use std::num::NonZero;
use std::thread;

/// Maps every item on as many threads as there are cores, while this one waits. The results are in the order of
/// `items`. A single item starts no thread.
///
/// This thread takes no share, because an operating system starts a new thread on the processor of its parent: with
/// few items, the parent would have mapped them all before another processor takes the new thread over.
pub(super) fn parallel_map<T: Sync, R: Send>(items: &[T], map: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if items.len() <= 1 {
        return items.iter().map(map).collect();
    }
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = items.len().div_ceil(cores);
    let map = &map;
    thread::scope(|scope| {
        let threads: Vec<_> = items
            .chunks(share)
            .map(|chunk| scope.spawn(move || chunk.iter().map(map).collect::<Vec<R>>()))
            .collect();
        let done = threads.into_iter().flat_map(|thread| {
            // A panic is passed on, as it would be without threads.
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        done.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::parallel_map;

    #[test]
    fn results_are_in_the_order_of_the_items_however_many_there_are() {
        for items in [0, 1, 2, 3, 7, 1000] {
            let items: Vec<usize> = (0..items).collect();
            let doubled: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(parallel_map(&items, |item| item * 2), doubled);
        }
    }
}
