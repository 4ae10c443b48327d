//! A line to a server, byte for byte, that may be cut. Invariant: what a plan does to one connection it does to no other, and what passes is not
//! changed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Is told of each connection, its number from 0 on, before anything passes; says after how many bytes from the server it is cut.
type Plan = Box<dyn FnMut(usize) -> Option<usize> + Send>;

/// A running line; it ends with the process.
pub struct Line {
    /// Its address.
    pub address: String,
    connections: Arc<AtomicUsize>,
}

impl Line {
    /// A line to the server at `http://HOST:PORT`.
    pub fn before(server: &str, plan: impl FnMut(usize) -> Option<usize> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = server.strip_prefix("http://").unwrap().to_owned();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let plan: Arc<Mutex<Plan>> = Arc::new(Mutex::new(Box::new(plan)));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, plan, number) = (server.clone(), plan.clone(), count.fetch_add(1, Ordering::SeqCst));
                std::thread::spawn(move || {
                    let limit = (plan.lock().unwrap())(number);
                    let Ok(server) = TcpStream::connect(server) else { return };
                    let (there, back) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                    std::thread::spawn(move || pass(&there, &back, None));
                    pass(&server, &client, limit);
                });
            }
        });
        Self { address, connections }
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Passes bytes on until one side ends or the limit is reached; then both do.
fn pass(mut from: &TcpStream, mut to: &TcpStream, limit: Option<usize>) {
    let (mut buffer, mut left) = ([0; 16_384], limit.unwrap_or(usize::MAX));
    while left > 0 {
        let most = left.min(buffer.len());
        let Ok(read @ 1..) = from.read(&mut buffer[..most]) else { break };
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
        left -= read;
    }
    _ = from.shutdown(Shutdown::Both);
    _ = to.shutdown(Shutdown::Both);
}
