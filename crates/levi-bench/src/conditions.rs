//! Where a run was made, and what else the machine did meanwhile.

use std::time::{Duration, Instant};

use crate::process::{cpu_time, cpu_time_of_children};
use crate::{Fallible, fixture, scratch_parent};

/// The machine, as far as the system tells.
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
            "messages of {} bytes; SQLite in WAL mode, synchronous = FULL where nothing else is said",
            fixture::MESSAGE_BYTES
        ),
    ]
}

/// GiB that the disk of the backlogs has room for; none where the system does not tell. Of floats, for systems count
/// blocks in integers of various sizes.
#[cfg(unix)]
pub(crate) fn free_gib() -> Fallible<f64> {
    let disk = nix::sys::statvfs::statvfs(&scratch_parent())?;
    Ok(disk.blocks_available() as f64 * disk.fragment_size() as f64 / f64::from(1 << 30))
}

#[cfg(not(unix))]
pub(crate) fn free_gib() -> Fallible<f64> {
    Ok(0.0)
}

/// How busy the machine is with other programs while a group is measured.
pub(crate) struct Watch {
    start: Instant,
    busy: Option<Duration>,
    own: Duration,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), busy: busy(), own: own() }
    }

    /// As a phrase.
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

/// Time that the cores were busy or taken away by a host since the system started. Linux only.
fn busy() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let mut fields = stat.lines().next()?.split_whitespace().skip(1).map(|field| field.parse::<u64>());
    let mut field = || fields.next()?.ok();
    let (user, nice, system, _idle, _waiting) = (field()?, field()?, field()?, field()?, field()?);
    let (irq, softirq, stolen) = (field()?, field()?, field()?);
    // In hundredths of a second (USER_HZ).
    Some(Duration::from_millis(10 * (user + nice + system + irq + softirq + stolen)))
}
