//! Accepts connections and spreads them over the cores.
//!
//! glommio's listener shares its port (SO_REUSEPORT), which would let a second server steal
//! clients instead of failing: so the port is first bound without sharing.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use glommio::net::{AcceptedTcpStream, TcpListener};

use crate::base::ids::ShardId;
use crate::commands::session::Session;
use crate::config::Config;
use crate::resp::error::Error;
use crate::resp::reply::{Proto, Reply};
use crate::server::boot::StartError;
use crate::server::clients::Client;
use crate::server::connection;
use crate::server::core::Core;
use crate::server::log;
use crate::server::stream::Socket;

/// How long a port that cannot be bound may take to answer before it counts as taken.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);

/// How often, and after which pauses, a taken port is tried again.
const PROBES: u32 = 50;
const PROBE_PAUSE: Duration = Duration::from_millis(20);

/// The addresses that the server listens on; each was free a moment ago.
#[derive(Debug)]
pub struct Listeners {
    addresses: Vec<SocketAddr>,
}

/// Finds the addresses, and that nobody else listens on them.
pub fn bind(config: &Config) -> Result<Listeners, StartError> {
    let mut addresses = Vec::new();
    if config.port == 0 {
        return Ok(Listeners { addresses });
    }
    for name in &config.bind {
        let (name, optional) = match name.strip_prefix('-') {
            Some(name) => (name, true),
            None => (name.as_str(), false),
        };
        match resolve(name, config.port) {
            Ok(found) => addresses.extend(found),
            Err(error) if optional => {
                log::notice(format!("Not listening on {name}:{}: {error}", config.port));
            }
            Err(error) => return Err(cannot(name, config.port, &error)),
        }
    }
    Ok(Listeners { addresses })
}

fn resolve(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let name = match name {
        "*" => "0.0.0.0",
        "::*" => "::",
        name => name,
    };
    let found: Vec<SocketAddr> = (name, port).to_socket_addrs()?.collect();
    for address in &found {
        claim(address)?;
    }
    Ok(found)
}

/// Fails when somebody listens there, also a while later: the kernel closes the listeners of a
/// server that has just ended only when it has undone that server's ring.
fn claim(address: &SocketAddr) -> io::Result<()> {
    for _ in 0..PROBES {
        match probe(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                std::thread::sleep(PROBE_PAUSE);
            }
            result => return result,
        }
    }
    probe(address)
}

fn probe(address: &SocketAddr) -> io::Result<()> {
    let socket =
        socket2::Socket::new(socket2::Domain::for_address(*address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    match socket.bind(&(*address).into()) {
        // Connections of the last run that are in TIME_WAIT hold the port as well, and must not
        // stop a restart: they do not answer.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            match TcpStream::connect_timeout(address, PROBE_PATIENCE) {
                Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
                _ => Err(error),
            }
        }
        Err(error) => Err(error),
        Ok(()) => socket.listen(1),
    }
}

fn cannot(name: &str, port: u16, error: &io::Error) -> StartError {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => ": is another server running there? (--port chooses another)",
        io::ErrorKind::PermissionDenied => ": ports below 1024 are for root",
        _ => "",
    };
    StartError(format!("cannot listen on {name}:{port}: {error}{hint}"))
}

/// Starts to accept, on this core.
pub fn serve(core: &Rc<Core>, listeners: Listeners) -> Result<(), StartError> {
    for address in listeners.addresses {
        let listener = TcpListener::bind(address)
            .map_err(|error| StartError(format!("cannot listen on {address}: {error}")))?;
        glommio::spawn_local(accept(Rc::clone(core), listener)).detach();
    }
    Ok(())
}

async fn accept(core: Rc<Core>, listener: TcpListener) {
    let mut next = 0;
    loop {
        match listener.shared_accept().await {
            Ok(accepted) => {
                let shard = ShardId(next);
                next = (next + 1) % core.shards;
                core.on(shard, move |core| adopt(core, accepted)).await;
            }
            Err(error) => {
                // Out of descriptors: those that are open go on, and one will be closed soon.
                log::warning(format!("Accepting client connection: {error}"));
                glommio::timer::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A connection begins on this core.
fn adopt(core: &Rc<Core>, accepted: AcceptedTcpStream) {
    let core = Rc::clone(core);
    glommio::spawn_local(async move {
        let Ok(mut socket) = Socket::adopt(accepted) else { return };
        let open = core.shared.clients.fetch_add(1, Ordering::Relaxed);
        if let Some(error) = refusal(&core, open, &socket) {
            core.shard.borrow_mut().counters.connections_rejected += 1;
            let mut line = Vec::new();
            Reply::new(&mut line, Proto::Two).error(&error);
            let _ = socket.write_all(&line).await;
        } else {
            let client = introduce(&core, &socket);
            let id = client.session.borrow().id;
            core.clients.add(&client);
            connection::serve(Rc::clone(&core), client, socket).await;
            core.clients.remove(id);
        }
        core.shared.clients.fetch_sub(1, Ordering::Relaxed);
    })
    .detach();
}

/// Why a connection is turned away, if it is.
fn refusal(core: &Core, open: usize, socket: &Socket) -> Option<Error> {
    let config = &core.settings.borrow().config;
    if open >= config.maxclients {
        return Some(Error::MAX_CLIENTS);
    }
    let remote = !is_loopback(&socket.peer());
    let open_door = config.protected_mode && config.requirepass.is_empty();
    (remote && open_door).then_some(Error::PROTECTED)
}

fn is_loopback(peer: &str) -> bool {
    peer.parse::<SocketAddr>().is_ok_and(|address| match address.ip() {
        std::net::IpAddr::V4(ip) => ip.is_loopback(),
        std::net::IpAddr::V6(ip) => {
            ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
        }
    })
}

fn introduce(core: &Core, socket: &Socket) -> Rc<Client> {
    core.shard.borrow_mut().counters.connections_received += 1;
    core.clock.start_turn();
    let now = core.clock.now();
    let session = Session {
        id: core.shared.client_id(),
        authenticated: core.settings.borrow().config.requirepass.is_empty(),
        peer: socket.peer(),
        local: socket.local(),
        loopback: is_loopback(&socket.peer()),
        created: now,
        seen: now,
        ..Session::default()
    };
    Rc::new(Client::new(session))
}
