//! Speed and memory of one shard's keys: `cargo bench --bench keyspace [-- KEYS]`.
//!
//! 16-byte keys and 32-byte values. Medians are over batches of 1,000 operations; "max" is the
//! longest single operation, which on a busy machine includes being descheduled.

use std::time::Instant;

use basalt::base::ids::{Db, Lsn};
use basalt::base::prng::Prng;
use basalt::base::time::Millis;
use basalt::keyspace::item::{Item, Sink};
use basalt::keyspace::keyspace::{Expiry, Keyspace, Settings};
use basalt::keyspace::snapshot::{Budget, Step};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DB: Db = Db(0);

fn main() {
    let keys = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(5_000_000);
    let before = resident();
    let mut space = Keyspace::new(Settings { seed: 42, ..Settings::default() });
    space.begin(Millis(1_000_000), Lsn(1));
    let value = [7; 32];
    let order = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    measure("insert", keys, |n| {
        space.set_string(DB, &key(order(n)), &value, Expiry::Clear);
    });
    let bytes = (resident() - before) as f64 / keys as f64;
    let counted = space.memory().used as f64 / keys as f64;
    println!("memory        {bytes:6.1} bytes a key resident, {counted:.1} counted");

    let mut prng = Prng::new(1);
    let mut found = 0;
    measure("find", keys / 4, |_| {
        let name = key(order(prng.below(keys)));
        found += space.string(DB, &name).map_or(0, |string| usize::from(string.is_some()));
    });
    assert_eq!(found as u64, keys / 4);
    measure("find none", keys / 4, |n| {
        found += usize::from(space.exists(DB, &key(!order(n))));
    });
    measure("overwrite", keys / 4, |_| {
        space.set_string(DB, &key(order(prng.below(keys))), &value, Expiry::Clear);
    });
    snapshot(&mut space, keys, &mut |_, _| {});
    let mut prng = Prng::new(2);
    snapshot(&mut space, keys, &mut |space, n| {
        if n % 4 == 0 {
            space.set_string(DB, &key(order(prng.below(keys))), &value, Expiry::Clear);
        }
    });
    load(keys);
    let mut cursor = 0;
    let start = Instant::now();
    let mut calls = 0;
    while calls < 20_000 {
        cursor = space.scan(DB, cursor, 10, &mut |_, _| {});
        calls += 1;
    }
    println!("scan 10       {:6} ns a call", start.elapsed().as_nanos() / calls);
    measure("remove", keys / 2, |n| {
        space.remove(DB, &key(order(n)));
    });
    let counted = space.memory().used as f64 / (keys - keys / 2) as f64;
    println!("memory        {counted:6.1} bytes a key counted after removing every second");
    let start = Instant::now();
    space.flush(DB);
    let flush = start.elapsed();
    let mut slices = 0_u64;
    while space.free_slice(8) {
        slices += 1;
    }
    println!("flush         {flush:?}, then {slices} slices in {:?}", start.elapsed());
}

fn key(n: u64) -> [u8; 16] {
    let mut key = *b"................";
    for (place, nibble) in key.iter_mut().zip(0..16) {
        *place = b"0123456789abcdef"[(n >> (nibble * 4) & 15) as usize];
    }
    key
}

/// The median of batches, and the longest single operation in a second pass over the clock.
fn measure(name: &str, count: u64, mut operation: impl FnMut(u64)) {
    let (mut batches, mut longest) = (Vec::new(), 0);
    let mut last = Instant::now();
    let mut start = last;
    for n in 0..count {
        operation(n);
        let now = Instant::now();
        longest = longest.max((now - last).as_nanos());
        last = now;
        if n % 1000 == 999 {
            batches.push((now - start).as_nanos() / 1000);
            start = now;
        }
    }
    batches.sort_unstable();
    let median = batches.get(batches.len() / 2).copied().unwrap_or_default();
    let mean = batches.iter().sum::<u128>() / batches.len().max(1) as u128;
    println!(
        "{name:13} {median:6} ns median, {mean} mean, max {} us (clock included)",
        longest / 1000
    );
}

struct Count(u64, u64);

impl Sink for Count {
    fn take(&mut self, item: Item<'_>) {
        if let Item::Small { key, .. } = item {
            self.0 += 1;
            self.1 += key.len() as u64;
        }
    }
}

fn snapshot(space: &mut Keyspace, keys: u64, between: &mut dyn FnMut(&mut Keyspace, u64)) {
    let start = Instant::now();
    space.cut();
    let cut = start.elapsed();
    let (mut sink, mut longest, mut steps, mut spent) = (Count(0, 0), 0, 0, 0);
    loop {
        let start = Instant::now();
        let step = space.snapshot_step(&mut sink, Budget::default());
        let nanos = start.elapsed().as_nanos();
        (longest, spent, steps) = (nanos.max(longest), spent + nanos, steps + 1);
        if step == Step::Done {
            break;
        }
        between(space, steps);
    }
    assert_eq!(sink.0, keys);
    println!(
        "snapshot      {:6} ns a key, {steps} steps, longest {} us, cut {cut:?}, queue peak {}",
        spent / u128::from(keys),
        longest / 1000,
        space.preimage_peak()
    );
}

/// Fills a second keyspace in the order in which a file has the keys.
fn load(keys: u64) {
    struct Order(Vec<[u8; 16]>);
    impl Sink for Order {
        fn take(&mut self, item: Item<'_>) {
            if let Item::Small { key, .. } = item {
                self.0.extend(<[u8; 16]>::try_from(key));
            }
        }
    }
    let mut source = Keyspace::new(Settings { seed: 42, ..Settings::default() });
    let count = keys.min(1_000_000);
    for n in 0..count {
        source.set_string(DB, &key(n), b"", Expiry::Clear);
    }
    source.cut();
    let mut order = Order(Vec::new());
    while source.snapshot_step(&mut order, Budget::default()) == Step::More {}
    for expected in [count, 0] {
        let mut space = Keyspace::new(Settings { seed: 42, ..Settings::default() });
        space.load_expect(DB, expected);
        let start = Instant::now();
        for name in &order.0 {
            space.load_string(DB, name, &[7; 32], None).expect("a new key");
        }
        let nanos = start.elapsed().as_nanos() / u128::from(count);
        let bytes = space.memory().used as f64 / count as f64;
        println!("load          {nanos:6} ns a key, expected {expected}, {bytes:.1} bytes counted");
    }
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}
