//! The machine of a run, and its other load meanwhile.

use std::time::{Duration, Instant};

use crate::process::{cpu_time, cpu_time_of_children};
use crate::{Fallible, fixture, scratch_parent};

/// Describes the machine and the settings, one sentence each.
pub(crate) fn machine() -> Vec<String> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    vec![
        format!(
            "{} cores, {}, {} {}",
            cores(),
            model.trim_start_matches(['\t', ' ', ':']),
            std::env::consts::OS,
            std::env::consts::ARCH
        ),
        format!(
            "messages of {} bytes; SQLite in WAL mode, synchronous = FULL unless stated otherwise",
            fixture::MESSAGE_BYTES
        ),
    ]
}

/// GiB free on the disk of the backlogs; zero where the system does not tell. Computed in floats, because systems count
/// blocks in integers of various sizes.
#[cfg(unix)]
pub(crate) fn free_gib() -> Fallible<f64> {
    let disk = rustix::fs::statvfs(scratch_parent())?;
    Ok(disk.f_bavail as f64 * disk.f_frsize as f64 / f64::from(1 << 30))
}

#[cfg(not(unix))]
pub(crate) fn free_gib() -> Fallible<f64> {
    Ok(0.0)
}

/// Measures how much processor time other programs take.
pub(crate) struct LoadMonitor {
    start: Instant,
    busy: Option<Duration>,
    own: Duration,
}

impl LoadMonitor {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), busy: busy(), own: own() }
    }

    /// The duration and the load of other programs, as a phrase.
    pub(crate) fn end(self) -> String {
        let took = self.start.elapsed();
        let mut text = format!("{:.0} s", took.as_secs_f64());
        if let (Some(before), Some(after)) = (self.busy, busy()) {
            let others = after.saturating_sub(before).saturating_sub(own().saturating_sub(self.own));
            let share = others.as_secs_f64() / (took.as_secs_f64() * cores() as f64);
            text +=
                &format!(", during which other programs took {:.0} % of the processor time", share * 100.0);
        }
        text
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn own() -> Duration {
    cpu_time() + cpu_time_of_children()
}

/// The time since the system started that the cores were busy or used by the host of a virtual machine. Linux only.
fn busy() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let mut fields = stat.lines().next()?.split_whitespace().skip(1).map(|field| field.parse::<u64>());
    let mut field = || fields.next()?.ok();
    let (user, nice, system, _idle, _waiting) = (field()?, field()?, field()?, field()?, field()?);
    let (irq, softirq, stolen) = (field()?, field()?, field()?);
    // In hundredths of a second (USER_HZ).
    Some(Duration::from_millis(10 * (user + nice + system + irq + softirq + stolen)))
}
