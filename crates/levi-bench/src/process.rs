//! Processor time, memory and context switches of processes, as the system reports them.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::Fallible;

/// Processor time of this process so far, including threads that have ended.
pub(crate) fn cpu_time() -> Duration {
    used::of_process()
}

/// Processor time of the child processes that have ended and were waited for.
pub(crate) fn cpu_time_of_children() -> Duration {
    used::of_children()
}

/// Processor time of the calling thread so far; elapsed time on systems other than Linux.
pub(crate) fn thread_time() -> Duration {
    used::of_thread()
}

#[cfg(target_os = "linux")]
mod used {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    pub(super) fn of_process() -> Duration {
        of(ClockId::ProcessCPUTime)
    }

    pub(super) fn of_thread() -> Duration {
        of(ClockId::ThreadCPUTime)
    }

    fn of(clock: ClockId) -> Duration {
        Duration::try_from(clock_gettime(clock)).unwrap_or_default()
    }

    /// In hundredths of a second (USER_HZ), which is fine enough for programs that run for seconds.
    pub(super) fn of_children() -> Duration {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // `cutime` and `cstime`, counted from the end of the name, which may contain spaces.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(13).take(2);
        Duration::from_millis(10 * fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>())
    }
}

#[cfg(not(target_os = "linux"))]
mod used {
    use std::sync::LazyLock;
    use std::time::{Duration, Instant};

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);

    pub(super) fn of_process() -> Duration {
        START.elapsed()
    }

    pub(super) fn of_children() -> Duration {
        Duration::ZERO
    }

    pub(super) fn of_thread() -> Duration {
        START.elapsed()
    }
}

/// A field of `/proc/<pid>/status` in KiB, such as `VmHWM` (peak resident memory). Linux only.
pub(crate) fn memory_kib(pid: u32, field: &str) -> Fallible<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    field_of(&status, field).ok_or_else(|| format!("/proc has no {field}").into())
}

/// Bytes that this process has made the system write to a disk so far. Linux only.
pub(crate) fn bytes_to_disk() -> Fallible<u64> {
    let io = fs::read_to_string("/proc/self/io")?;
    field_of(&io, "write_bytes").ok_or_else(|| "/proc has no write_bytes".into())
}

/// The context switches of each thread of a process, voluntary and involuntary. A thread without a switch has not run.
/// Linux only.
pub(crate) fn switches(pid: u32) -> Fallible<Switches> {
    let mut threads = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let count = |field| field_of(&status, field).unwrap_or_default();
        threads.insert(count("Pid"), count("voluntary_ctxt_switches") + count("nonvoluntary_ctxt_switches"));
    }
    Ok(Switches(threads))
}

/// Context switches by thread id.
#[derive(Clone, Debug)]
pub(crate) struct Switches(BTreeMap<u64, u64>);

impl Switches {
    pub(crate) fn threads(&self) -> usize {
        self.0.len()
    }

    /// How often any thread has run since `earlier`. A thread that has ended ran at least once.
    pub(crate) fn since(&self, earlier: &Self) -> u64 {
        let ended = earlier.0.keys().filter(|thread| !self.0.contains_key(thread)).count() as u64;
        let ran = |(thread, count): (&u64, &u64)| count - earlier.0.get(thread).copied().unwrap_or_default();
        ended + self.0.iter().map(ran).sum::<u64>()
    }
}

fn field_of(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.split(':').next() == Some(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Switches, field_of};

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let status = "VmHWM:\t  123 kB\nnonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t5\n";
        assert_eq!(field_of(status, "VmHWM"), Some(123));
        assert_eq!(field_of(status, "voluntary_ctxt_switches"), Some(5));
        assert_eq!(field_of(status, "VmRSS"), None);
    }

    #[test]
    fn threads_that_started_or_ended_count_as_having_run() {
        let samples = [Switches([(1, 5), (2, 7)].into()), Switches([(1, 6), (3, 4)].into())];
        assert_eq!(samples[0].since(&samples[0]), 0);
        assert_eq!(samples[1].since(&samples[0]), 1 + 1 + 4);
    }
}
