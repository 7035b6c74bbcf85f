//! Sleep and wake, files through the ring, the pool of buffers, and an end with work under way.

use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use glommio::{LocalExecutorBuilder, Placement, spawn_local};

use super::*;

fn run<T>(work: impl Future<Output = T>) -> T {
    LocalExecutorBuilder::new(Placement::Unbound).make().unwrap().run(work)
}

fn pair() -> (Rc<OwnedFd>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Rc::new(ours.into()), theirs)
}

async fn next(ring: &Ring) -> Completion {
    loop {
        if let Some(completion) = ring.completion() {
            return completion;
        }
        ring.turn(None, |_| Due::Nothing).await.unwrap();
    }
}

#[test]
fn a_thread_wakes_a_core_that_sleeps() {
    run(async {
        let ring = Ring::new().unwrap();
        for pause in [0, 1, 2, 5, 20] {
            let waker = ring.waker();
            let flag = Arc::new(std::sync::atomic::AtomicBool::new(false));
            let (set, started) = (Arc::clone(&flag), Instant::now());
            let thread = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(pause));
                set.store(true, Ordering::SeqCst);
                waker.wake();
            });
            while !flag.load(Ordering::SeqCst) {
                ring.turn(
                    None,
                    |_| {
                        if flag.load(Ordering::SeqCst) { Due::Now } else { Due::Nothing }
                    },
                )
                .await
                .unwrap();
                assert!(ring.completion().is_none(), "a wake is no event");
            }
            assert!(started.elapsed() < Duration::from_secs(5));
            thread.join().unwrap();
        }
    });
}

#[test]
fn timers_of_the_executor_are_served_while_the_core_sleeps() {
    run(async {
        let ring = Ring::new().unwrap();
        let fired = Rc::new(std::cell::Cell::new(false));
        let (set, waker) = (Rc::clone(&fired), ring.waker());
        spawn_local(async move {
            glommio::timer::sleep(Duration::from_millis(10)).await;
            set.set(true);
            waker.wake();
        })
        .detach();
        while !fired.get() {
            ring.turn(None, |_| if fired.get() { Due::Now } else { Due::Nothing }).await.unwrap();
        }
    });
}

#[test]
fn a_busy_core_still_serves_the_timers_of_the_executor() {
    run(async {
        let ring = Ring::new().unwrap();
        let fired = Rc::new(std::cell::Cell::new(false));
        let set = Rc::clone(&fired);
        spawn_local(async move {
            glommio::timer::sleep(Duration::from_millis(10)).await;
            set.set(true);
        })
        .detach();
        let started = Instant::now();
        while !fired.get() {
            ring.turn(None, |_| Due::Now).await.unwrap();
            assert!(started.elapsed() < Duration::from_secs(5), "the timer starves");
        }
    });
}

#[test]
fn other_tasks_write_files_through_the_ring_of_a_sleeping_core() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    let file = Arc::new(File::create_new(&path).unwrap());
    run(async {
        let ring = Ring::new().unwrap();
        let requests = ring.requests();
        let done = Rc::new(std::cell::Cell::new(false));
        let (set, waker) = (Rc::clone(&done), ring.waker());
        spawn_local(async move {
            // By now the core sleeps.
            glommio::timer::sleep(Duration::from_millis(5)).await;
            let back = requests.write_all_at(&file, b"hello".to_vec(), 0, 3).await.unwrap();
            assert_eq!(back, b"hello");
            requests.sync_data(&file).await.unwrap();
            let full = Arc::new(File::options().write(true).open("/dev/full").unwrap());
            let error = requests.write_all_at(&full, vec![1], 0, 0).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            set.set(true);
            waker.wake();
        })
        .detach();
        while !done.get() {
            ring.turn(None, |_| if done.get() { Due::Now } else { Due::Nothing }).await.unwrap();
            assert!(ring.completion().is_none(), "a request is no event of the core");
        }
    });
    let mut read = [0; 8];
    File::open(path).unwrap().read_exact_at(&mut read, 0).unwrap();
    assert_eq!(&read, b"\0\0\0hello");
}

/// More arrivals than buffers, each byte checked: the pool goes round several times.
#[test]
fn arrivals_are_whole_when_the_pool_runs_out() {
    run(async {
        let ring = Ring::new().unwrap();
        let (ours, mut theirs) = pair();
        let total = usize::from(RING_BUFFERS) * RING_BUFFER_BYTES * 3;
        let writing = std::thread::spawn(move || {
            let bytes: Vec<u8> = (0..total).map(|n| (n % 249) as u8).collect();
            io::Write::write_all(&mut theirs, &bytes).unwrap();
        });
        ring.start(Operation::Receive(Rc::clone(&ours)), 9);
        let (mut position, mut held, mut ran_out) = (0, Vec::new(), 0);
        while position < total {
            let Completion { tag, result, ended } = next(&ring).await;
            assert_eq!(tag, 9);
            match result {
                Ok(Outcome::Received(arrival)) => {
                    for byte in ring.bytes(&arrival).iter() {
                        assert_eq!(*byte, (position % 249) as u8, "at {position}");
                        position += 1;
                    }
                    held.push(arrival);
                }
                Ok(other) => panic!("{other:?}"),
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(Errno::NOBUFS.raw_os_error()));
                    ran_out += 1;
                    held.drain(..).for_each(|arrival| ring.give_back(arrival));
                }
            }
            if ended.is_some() {
                ring.start(Operation::Receive(Rc::clone(&ours)), 9);
            }
        }
        assert!(ran_out >= 2, "the pool ran out {ran_out} times");
        writing.join().unwrap();
    });
}

#[test]
fn more_operations_than_entries_fit() {
    run(async {
        let ring = Ring::new().unwrap();
        let count = u64::from(RING_ENTRIES) * 3;
        for tag in 0..count {
            let nothing = Operation::Wait(Box::new(Timespec::from(Duration::from_millis(1))));
            ring.start(nothing, tag);
        }
        let mut tags: Vec<u64> = Vec::new();
        while (tags.len() as u64) < count {
            let completion = next(&ring).await;
            assert!(completion.ended.is_some() && completion.result.is_err());
            tags.push(completion.tag);
        }
        tags.sort_unstable();
        assert!(tags.into_iter().eq(0..count));
    });
}

#[test]
fn a_ring_with_work_under_way_ends_and_closes_its_descriptors() {
    let mut theirs = run(async {
        let ring = Ring::new().unwrap();
        let (ours, theirs) = pair();
        ring.start(Operation::Receive(Rc::clone(&ours)), 1);
        let cancelled = ring.start(Operation::Receive(Rc::clone(&ours)), 2);
        ring.start(Operation::Send(ours, vec![1; 64 << 20], 0), 3);
        ring.cancel(cancelled);
        let mut completion = next(&ring).await;
        while completion.tag != 2 {
            completion = next(&ring).await;
        }
        assert!(completion.ended.is_some());
        theirs
    });
    let mut rest = Vec::new();
    io::Read::read_to_end(&mut theirs, &mut rest).unwrap();
}

#[test]
fn an_idle_core_costs_nothing() {
    run(async {
        let ring = Ring::new().unwrap();
        let mut turns = 0;
        let (waker, started) = (ring.waker(), Instant::now());
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            waker.wake();
        });
        while started.elapsed() < Duration::from_millis(100) {
            ring.turn(None, |_| Due::Nothing).await.unwrap();
            assert!(ring.completion().is_none());
            turns += 1;
        }
        assert!(turns < 10, "{turns} turns in 100 ms without an event");
    });
}

/// A reply that waited for the disk is queued by a task while the core's own sleeps.
#[test]
fn what_another_task_starts_reaches_the_kernel_at_once() {
    run(async {
        let ring = Ring::new().unwrap();
        let (ours, mut theirs) = pair();
        let (other, started) = (ring.clone(), Instant::now());
        spawn_local(async move {
            glommio::timer::sleep(Duration::from_millis(10)).await;
            other.start(Operation::Send(ours, b"late".to_vec(), 0), 5);
        })
        .detach();
        let reading = std::thread::spawn(move || {
            let mut bytes = [0; 4];
            io::Read::read_exact(&mut theirs, &mut bytes).unwrap();
            bytes
        });
        assert_eq!(next(&ring).await.tag, 5);
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(&reading.join().unwrap(), b"late");
    });
}
