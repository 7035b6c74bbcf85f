//! Files of a real directory through the module's own functions, and scripted short writes.

use std::future::Future;
use std::rc::Rc;

use glommio::{LocalExecutorBuilder, Placement};
use tempfile::{TempDir, tempdir};

use super::*;
use crate::server::ring::Ring;
use crate::server::ring::stay::Due;

/// Runs work in an executor of its own.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    LocalExecutorBuilder::new(Placement::Unbound).make().unwrap().run(work)
}

/// Runs work beside a core that does nothing but turn its ring.
pub fn with_ring<F: Future<Output = ()> + 'static>(work: impl FnOnce(Requests) -> F) {
    run(async {
        let ring = Ring::new().unwrap();
        let (done, waker) = (Rc::new(Cell::new(false)), ring.waker());
        let (set, work) = (Rc::clone(&done), work(ring.requests()));
        glommio::spawn_local(async move {
            work.await;
            set.set(true);
            waker.wake();
        })
        .detach();
        while !done.get() {
            ring.turn(None, |_| if done.get() { Due::Now } else { Due::Nothing }).await.unwrap();
            while ring.completion().is_some() {}
        }
    });
}

async fn new_file(directory: &TempDir, name: &str) -> File {
    File::open(&directory.path().join(name), Open::New).await.unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let directory = tempdir().unwrap();
    with_ring(async move |ring| {
        let file = new_file(&directory, "a").await;
        file.write_now(b"hello", 0).unwrap();
        let back = file.write_all_at(&ring, b" world".to_vec(), 5).await.unwrap();
        assert_eq!(back, b" world");
        file.sync_data(&ring).await.unwrap();
        assert_eq!(file.length().await.unwrap(), 11);
        assert_eq!(read_whole(file.path(), 99).await.unwrap(), b"hello world");
        file.set_length(5).await.unwrap();
        assert_eq!(read_whole(file.path(), 5).await.unwrap(), b"hello");
        let error = read_whole(file.path(), 4).await.unwrap_err();
        assert!(error.to_string().contains("longer than 4 bytes"), "{error}");
        file.zero_now(3..8);
        assert_eq!(read_whole(file.path(), 99).await.unwrap(), b"hel\0\0\0\0\0");
        file.zero_aside(2..200_001).await.unwrap();
        let mut long = vec![0; 200_001];
        long[..2].copy_from_slice(b"he");
        assert!(read_whole(file.path(), 1 << 20).await.unwrap() == long);
    });
}

#[test]
fn a_failed_write_is_named_and_the_file_refuses_from_then_on() {
    with_ring(async |ring| {
        let full = File::open(Path::new("/dev/full"), Open::Write).await.unwrap();
        let error = full.write_now(b"x", 0).unwrap_err();
        assert!(error.is_full() && !error.is_missing());
        let text = error.to_string();
        assert!(text.starts_with("cannot write /dev/full: No space left"), "{text}");
        assert!(full.refuses());
        let error = full.sync_data(&ring).await.unwrap_err();
        assert!(error.to_string().contains("an earlier write or sync"), "{error}");
        let missing = File::open(Path::new("/nowhere/a"), Open::Write).await.unwrap_err();
        assert!(missing.is_missing(), "{missing}");
    });
}

#[test]
fn an_abandoned_write_completes_but_is_not_trusted() {
    let directory = tempdir().unwrap();
    with_ring(async move |ring| {
        let file = new_file(&directory, "a").await;
        let mut write = Box::pin(file.write_all_at(&ring, vec![7; 1 << 20], 0));
        assert!(futures_poll(write.as_mut()).await.is_none());
        drop(write);
        assert!(file.refuses());
        file.write_now(b"x", 0).unwrap_err();
        while file.length().await.unwrap() < 1 << 20 {}
    });
}

/// Polls once.
async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[test]
fn files_are_replaced_listed_and_removed() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    run(async {
        replace_file(path, "M", b"one".to_vec()).await.unwrap();
        replace_file(path, "M", b"three".to_vec()).await.unwrap();
        create_dir(&path.join("d")).await.unwrap();
        create_dir(&path.join("d")).await.unwrap();
        fs::write(path.join("d/x"), b"x").unwrap();
        let listed = list(path).await.unwrap();
        let names: Vec<_> =
            listed.iter().map(|one| (one.name.as_str(), one.length, one.is_directory)).collect();
        assert_eq!(names, [("M", 5, false), ("d", 0, true)]);
        let again = File::open(&path.join("M"), Open::New).await.unwrap_err();
        assert_eq!(again.source.kind(), ErrorKind::AlreadyExists);
        for _ in 0..2 {
            remove(&path.join("M")).await.unwrap();
            remove_dir(&path.join("d")).await.unwrap();
        }
        assert_eq!(list(path).await.unwrap(), []);
    });
}

/// What each call of a scripted file answers: a length, or an error.
type Script = Vec<Result<usize, ErrorKind>>;

#[test]
fn short_writes_go_on_where_they_stopped() {
    let cases: Vec<(Script, Result<(), ErrorKind>)> = vec![
        (vec![Ok(10)], Ok(())),
        (vec![Ok(3), Ok(1), Ok(6)], Ok(())),
        (vec![Ok(3), Err(ErrorKind::Interrupted), Ok(7)], Ok(())),
        (vec![Ok(9), Ok(0)], Err(ErrorKind::WriteZero)),
        (vec![Ok(2), Err(ErrorKind::StorageFull)], Err(ErrorKind::StorageFull)),
    ];
    for (script, expected) in cases {
        let mut written = [0; 110];
        let mut answers = script.clone().into_iter();
        let write = |part: &[u8], at: u64| -> io::Result<usize> {
            let count = answers.next().unwrap()?;
            let at = at as usize;
            written[at..at + count].copy_from_slice(&part[..count]);
            Ok(count)
        };
        let result = write_fully(write, b"0123456789", 100);
        assert_eq!(result.map_err(|error| error.kind()), expected, "{script:?}");
        assert!(answers.next().is_none(), "{script:?}");
        if expected.is_ok() {
            assert_eq!(&written[100..], b"0123456789", "{script:?}");
        }
    }
}

#[test]
fn short_reads_go_on_until_the_end() {
    let content = b"0123456789";
    let mut buffer = [0; 8];
    let read = |part: &mut [u8], at: u64| {
        let from = &content[at as usize..];
        let count = from.len().min(part.len()).min(3);
        part[..count].copy_from_slice(&from[..count]);
        Ok(count)
    };
    assert_eq!(read_fully(read, &mut buffer, 1).unwrap(), 8);
    assert_eq!(&buffer, b"12345678");
    assert_eq!(read_fully(read, &mut buffer, 7).unwrap(), 3);
    assert_eq!(&buffer[..3], b"789");
}
