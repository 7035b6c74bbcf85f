//! Real connections over loopback, driven by a client thread that blocks.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};

use super::*;
use crate::server::ring::stay::Due;

/// What a test's server did with each event, and what it shall do next.
type Handler = Box<dyn FnMut(&mut Sockets, Seen) -> Done>;

#[derive(Debug)]
enum Seen {
    Open(SocketId),
    Bytes(SocketId, Vec<u8>),
    Ended(SocketId, bool),
    Sent(SocketId),
}

#[derive(PartialEq)]
enum Done {
    Yes,
    No,
}

/// The next event, without what it borrows; new connections are adopted.
fn look(sockets: &mut Sockets) -> Option<Seen> {
    let accepted = match sockets.next_event()? {
        Event::Accepted(_, socket) => socket,
        Event::Received(id, bytes) => return Some(Seen::Bytes(id, bytes.to_vec())),
        Event::Ended(id, error) => return Some(Seen::Ended(id, error.is_some())),
        Event::Sent(id) => return Some(Seen::Sent(id)),
        Event::AcceptFailed(_, error) => panic!("{error}"),
    };
    Some(Seen::Open(sockets.adopt(accepted)))
}

/// Runs a core until its handler is done, and the client beside it.
fn serve<T: Send + 'static>(
    client: impl FnOnce(SocketAddr) -> T + Send + 'static,
    mut handler: Handler,
) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client: JoinHandle<T> = thread::spawn(move || client(address));
    LocalExecutorBuilder::new(Placement::Unbound).make().unwrap().run(async move {
        let mut sockets = Sockets::new().unwrap();
        assert_eq!(sockets.listen(listener.into()), 0);
        loop {
            let ring = sockets.ring();
            ring.turn(None, |_| if sockets.has_notices() { Due::Now } else { Due::Nothing })
                .await
                .unwrap();
            while let Some(seen) = look(&mut sockets) {
                if handler(&mut sockets, seen) == Done::Yes {
                    return;
                }
            }
        }
    });
    client.join().unwrap()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 7 % 251) as u8).collect()
}

#[test]
fn bytes_come_back_whole_and_in_order_however_many() {
    const LENGTH: usize = 8 << 20;
    let back = serve(
        |address| {
            let mut stream = TcpStream::connect(address).unwrap();
            let mut writer = stream.try_clone().unwrap();
            let writing = thread::spawn(move || {
                for part in pattern(LENGTH).chunks(77_777) {
                    writer.write_all(part).unwrap();
                }
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut back = Vec::new();
            stream.read_to_end(&mut back).unwrap();
            writing.join().unwrap();
            back
        },
        Box::new(|sockets, seen| {
            match seen {
                Seen::Bytes(id, mut bytes) => sockets.send(id, &mut bytes),
                Seen::Ended(id, failed) => {
                    assert!(!failed);
                    sockets.tell_when_sent(id);
                }
                Seen::Sent(id) => {
                    assert_eq!(sockets.unsent(id), 0);
                    sockets.close(id);
                    sockets.close(id);
                    return Done::Yes;
                }
                Seen::Open(_) => {}
            }
            Done::No
        }),
    );
    assert!(back == pattern(LENGTH), "{} bytes came back", back.len());
}

#[test]
fn close_when_sent_delivers_everything_first() {
    const LENGTH: usize = 4 << 20;
    let got = serve(
        |address| {
            let mut stream = TcpStream::connect(address).unwrap();
            thread::sleep(Duration::from_millis(20));
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            TcpStream::connect(address).unwrap();
            got
        },
        Box::new({
            let mut first = true;
            move |sockets, seen| {
                let Seen::Open(id) = seen else { return Done::No };
                if !std::mem::take(&mut first) {
                    return Done::Yes;
                }
                sockets.send(id, &mut pattern(LENGTH));
                sockets.close_when_sent(id);
                assert_eq!(sockets.unsent(id), 0, "the id is not good any more");
                Done::No
            }
        }),
    );
    assert!(got == pattern(LENGTH), "{} bytes came", got.len());
}

/// A client that does not read stops the output, not the core; pausing stops its input.
#[test]
fn a_paused_connection_brings_no_more_input_until_resumed() {
    serve(
        |address| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"one").unwrap();
            let mut answer = [0; 6];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"paused");
            stream.write_all(b"two").unwrap();
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"gottwo");
        },
        Box::new({
            let (mut paused, mut other) = (None, None);
            move |sockets, seen| match seen {
                Seen::Open(id) if paused.is_none() => {
                    paused = Some(id);
                    Done::No
                }
                Seen::Open(_) => Done::No,
                Seen::Bytes(id, bytes) if bytes == b"one" => {
                    sockets.pause(id);
                    sockets.send(id, &mut b"paused".to_vec());
                    // Time passes for this core while a second connection comes and goes.
                    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
                    let address = peer.local_addr().unwrap();
                    other = Some(thread::spawn(move || {
                        let mut stream = TcpStream::connect(address).unwrap();
                        thread::sleep(Duration::from_millis(30));
                        stream.write_all(b"x").unwrap();
                        let _ = stream.read(&mut [0]);
                    }));
                    sockets.adopt(peer.accept().unwrap().0.into());
                    Done::No
                }
                Seen::Bytes(id, bytes) if bytes == b"x" => {
                    sockets.close(id);
                    other = None;
                    sockets.resume(paused.unwrap());
                    Done::No
                }
                Seen::Bytes(id, bytes) => {
                    assert!(other.is_none(), "input of a paused connection: {bytes:?}");
                    assert_eq!(bytes, b"two");
                    sockets.send(id, &mut b"gottwo".to_vec());
                    sockets.tell_when_sent(id);
                    Done::No
                }
                Seen::Sent(_) => Done::Yes,
                Seen::Ended(..) => Done::No,
            }
        }),
    );
}

#[test]
fn a_closed_connection_leaves_its_place_to_the_next_with_another_name() {
    serve(
        |address| {
            for _ in 0..20 {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(b"bye").unwrap();
                assert_eq!(stream.read(&mut [0; 9]).unwrap_or(0), 0);
            }
        },
        Box::new({
            let mut names = Vec::new();
            move |sockets, seen| {
                match seen {
                    Seen::Open(id) => {
                        assert!(!names.contains(&id));
                        assert!(id.index() < 3, "places are used again: {id:?}");
                        names.push(id);
                    }
                    Seen::Bytes(id, _) => {
                        assert_eq!(names.last(), Some(&id));
                        sockets.close(id);
                        sockets.send(id, &mut b"nobody hears".to_vec());
                    }
                    other => panic!("{other:?}"),
                }
                if names.len() == 20 { Done::Yes } else { Done::No }
            }
        }),
    );
}

#[test]
fn a_broken_connection_ends_once_with_an_error() {
    serve(
        |address| {
            let stream = TcpStream::connect(address).unwrap();
            let socket = socket2::SockRef::from(&stream);
            socket.set_linger(Some(Duration::ZERO)).unwrap();
            drop(stream);
        },
        Box::new({
            move |sockets, seen| match seen {
                Seen::Open(_) => Done::No,
                Seen::Ended(id, failed) => {
                    assert!(failed);
                    sockets.send(id, &mut vec![1; 100]);
                    sockets.close(id);
                    Done::Yes
                }
                other => panic!("{other:?}"),
            }
        }),
    );
}
