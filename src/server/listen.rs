//! Accepts connections and spreads them over the cores.
//!
//! The port is not shared (no SO_REUSEPORT), which would let a second server steal clients
//! instead of failing: one core accepts, and hands out.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::ids::ShardId;
use crate::commands::acl::identity::Identity;
use crate::commands::session::Session;
use crate::config::Config;
use crate::resp::error::Error;
use crate::resp::reply::{Proto, Reply};
use crate::server::boot::StartError;
use crate::server::clients::Client;
use crate::server::connection;
use crate::server::core::{Core, Message};
use crate::server::log;
use crate::server::stream::Socket;

/// How often, and after which pauses, a taken port is tried again.
const TRIES: u32 = 50;
const TRY_PAUSE: Duration = Duration::from_millis(20);

/// The sockets that the server listens on.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<OwnedFd>,
}

/// Finds the addresses, and that nobody else listens on them.
pub fn bind(config: &Config) -> Result<Listeners, StartError> {
    let mut sockets = Vec::new();
    if config.port == 0 {
        return Ok(Listeners { sockets });
    }
    let backlog = i32::try_from(config.tcp_backlog).unwrap_or(i32::MAX);
    for name in &config.bind {
        let (name, optional) = match name.strip_prefix('-') {
            Some(name) => (name, true),
            None => (name.as_str(), false),
        };
        match resolve(name, config.port, backlog) {
            Ok(found) => sockets.extend(found),
            Err(error) if optional => {
                log::notice(format!("Not listening on {name}:{}: {error}", config.port));
            }
            Err(error) => return Err(cannot(name, config.port, &error)),
        }
    }
    Ok(Listeners { sockets })
}

fn resolve(name: &str, port: u16, backlog: i32) -> io::Result<Vec<OwnedFd>> {
    let name = match name {
        "*" => "0.0.0.0",
        "::*" => "::",
        name => name,
    };
    let mut sockets = Vec::new();
    for address in (name, port).to_socket_addrs()? {
        sockets.push(claim(address, backlog)?);
    }
    Ok(sockets)
}

/// Listens, or fails when somebody else does, also a while later: the kernel closes the
/// listeners of a server that has just ended only when it has undone that server's rings.
fn claim(address: SocketAddr, backlog: i32) -> io::Result<OwnedFd> {
    for _ in 0..TRIES {
        match bind_one(address, backlog) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                std::thread::sleep(TRY_PAUSE);
            }
            result => return result,
        }
    }
    bind_one(address, backlog)
}

fn bind_one(address: SocketAddr, backlog: i32) -> io::Result<OwnedFd> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    // A connection of the last run in TIME_WAIT must not stop a restart.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // The same port may be listened on with IPv4 as well.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
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
pub fn serve(core: &Core, listeners: Listeners) {
    listeners.sockets.into_iter().for_each(|listener| core.net.listen(listener));
}

/// A connection has come to this core: the cores take turns.
pub fn accepted(core: &Rc<Core>, socket: OwnedFd) {
    let shard = ShardId(core.net.next_core(core.shards));
    if shard == core.id {
        adopt(core, socket);
    } else {
        core.port.send(shard, Message::Task(Box::new(move |core| adopt(core, socket))));
    }
}

/// A connection could not be accepted. Out of descriptors: those that are open go on, and one
/// will be closed soon.
pub fn failed(error: &io::Error) {
    log::warning(format!("Accepting client connection: {error}"));
}

/// A connection begins on this core.
fn adopt(core: &Rc<Core>, accepted: OwnedFd) {
    let core = Rc::clone(core);
    glommio::spawn_local(async move {
        let Ok(mut socket) = Socket::adopt(&core.net, accepted) else { return };
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
    let settings = core.settings.borrow();
    let config = &settings.config;
    if open >= config.maxclients {
        return Some(Error::MAX_CLIENTS);
    }
    let remote = !is_loopback(&socket.peer());
    let open_door = config.protected_mode && settings.facts.users.default_user().login.open;
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
        identity: Identity::new(&core.settings.borrow().facts.users),
        peer: socket.peer(),
        local: socket.local(),
        loopback: is_loopback(&socket.peer()),
        created: now,
        seen: now,
        ..Session::default()
    };
    Rc::new(Client::new(session))
}
