//! One client's socket, on glommio's streams: bytes in, bytes out, and its end.

use std::io;
use std::net::Shutdown;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::{AcceptedTcpStream, TcpStream};

use crate::limits::READ_SIZE;
use crate::resp::buffer::Buffer;

/// A connected client.
pub struct Socket {
    stream: TcpStream,
}

impl Socket {
    /// Takes over a connection that another core has accepted.
    pub fn adopt(accepted: AcceptedTcpStream) -> io::Result<Socket> {
        let stream = accepted.bind_to_executor();
        stream.set_nodelay(true)?;
        Ok(Socket { stream })
    }

    /// The client's address.
    pub fn peer(&self) -> String {
        self.stream.peer_addr().map_or_else(|_| "?:0".to_owned(), |address| address.to_string())
    }

    /// The address that it connected to.
    pub fn local(&self) -> String {
        self.stream.local_addr().map_or_else(|_| "?:0".to_owned(), |address| address.to_string())
    }

    /// Reads what there is into the buffer; 0 at the end.
    pub async fn read(&mut self, buffer: &mut Buffer) -> io::Result<usize> {
        let read = self.stream.read(buffer.space(READ_SIZE)).await?;
        buffer.advance(read);
        Ok(read)
    }

    /// Writes everything; waits while the client does not read.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Ends the stream from elsewhere.
    pub async fn shut(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both).await;
    }
}
