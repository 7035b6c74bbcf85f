//! When a checkpoint is made without being asked for: a pure decision.
//!
//! The rules are those of Redis' save points and automatic rewrite
//! (<https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/>), with one
//! difference below them: both make a checkpoint.

use std::time::Duration;

/// What the automatic decision looks at.
#[derive(Clone, Debug)]
pub struct Situation {
    /// One is running.
    pub running: bool,
    /// BGSAVE SCHEDULE is waiting.
    pub save_scheduled: bool,
    /// BGREWRITEAOF is waiting.
    pub rewrite_scheduled: bool,
    /// The log is broken.
    pub broken: bool,
    /// Since the last save.
    pub since_save: Duration,
    /// Since the last attempt, if it failed.
    pub since_failure: Option<Duration>,
    /// How long to wait between attempts to heal.
    pub heal_interval: Duration,
    /// Changes since the last save.
    pub changes: u64,
    /// Save points: seconds and changes.
    pub points: Vec<(u64, u64)>,
    /// Bytes of log since the last checkpoint.
    pub log_bytes: u64,
    /// Bytes of the last checkpoint.
    pub base_bytes: u64,
    /// auto-aof-rewrite-percentage; 0: never.
    pub growth_percent: u32,
    /// auto-aof-rewrite-min-size.
    pub growth_min: u64,
}

/// What is due, with a line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// A save.
    Save(String),
    /// A rewrite.
    Rewrite(String),
    /// A checkpoint that heals the log.
    Heal,
}

/// Redis waits so long after a failed save before a save point tries again.
const RETRY: Duration = Duration::from_secs(5);

/// What is due by itself.
pub fn due(now: &Situation) -> Option<Due> {
    if now.running {
        return None;
    }
    if now.broken {
        let ready = now.since_failure.is_none_or(|since| since >= now.heal_interval);
        return ready.then_some(Due::Heal);
    }
    if now.rewrite_scheduled {
        return Some(Due::Rewrite("Starting the scheduled rewrite".to_owned()));
    }
    if now.save_scheduled {
        return Some(Due::Save("Starting the scheduled save".to_owned()));
    }
    let rested = now.since_failure.is_none_or(|since| since >= RETRY);
    let point = now.points.iter().find(|(seconds, changes)| {
        now.changes >= *changes && now.since_save > Duration::from_secs(*seconds)
    });
    if let (Some((seconds, _)), true) = (point, rested) {
        return Some(Due::Save(format!("{} changes in {seconds} seconds. Saving...", now.changes)));
    }
    grown(now).filter(|_| rested)
}

fn grown(now: &Situation) -> Option<Due> {
    if now.growth_percent == 0 || now.log_bytes + now.base_bytes <= now.growth_min {
        return None;
    }
    let growth = u128::from(now.log_bytes) * 100 / u128::from(now.base_bytes.max(1));
    (growth >= u128::from(now.growth_percent))
        .then(|| Due::Rewrite(format!("Starting automatic rewriting of AOF on {growth}% growth")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> Situation {
        Situation {
            running: false,
            save_scheduled: false,
            rewrite_scheduled: false,
            broken: false,
            since_save: Duration::from_secs(100),
            since_failure: None,
            heal_interval: Duration::from_secs(1),
            changes: 0,
            points: vec![(3600, 1), (60, 10)],
            log_bytes: 0,
            base_bytes: 0,
            growth_percent: 100,
            growth_min: 1000,
        }
    }

    #[test]
    fn what_is_due() {
        let kind = |situation: Situation| match due(&situation) {
            None => "",
            Some(Due::Save(_)) => "save",
            Some(Due::Rewrite(_)) => "rewrite",
            Some(Due::Heal) => "heal",
        };
        assert_eq!(kind(quiet()), "");
        assert_eq!(kind(Situation { changes: 10, ..quiet() }), "save");
        assert_eq!(kind(Situation { changes: 9, ..quiet() }), "");
        assert_eq!(kind(Situation { changes: 10, points: Vec::new(), ..quiet() }), "");
        let failed = Some(Duration::from_secs(1));
        assert_eq!(kind(Situation { changes: 10, since_failure: failed, ..quiet() }), "");
        assert_eq!(kind(Situation { broken: true, ..quiet() }), "heal");
        assert_eq!(kind(Situation { log_bytes: 900, ..quiet() }), "");
        assert_eq!(kind(Situation { log_bytes: 1001, ..quiet() }), "rewrite");
        let grown = Situation { log_bytes: 1500, base_bytes: 2000, ..quiet() };
        assert_eq!(kind(grown.clone()), "");
        assert_eq!(kind(Situation { log_bytes: 2000, ..grown.clone() }), "rewrite");
        assert_eq!(kind(Situation { log_bytes: 2000, running: true, ..grown }), "");
    }
}
