//! A proxy in front of a REST server: it writes down every request and may break one. Invariant: what it does to a request is done once and written
//! down; every other request passes as it is.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request that passed, or was broken.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `GET`, `POST` …
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The header `Authorization`, where it was sent.
    pub authorization: Option<String>,
    /// What was sent.
    pub body: String,
}

/// What is done to one request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The line is cut before the server hears of it.
    CutBefore,
    /// The line is cut in the middle of the request: the server hears half of it.
    CutDuring,
    /// The server does what is asked, and its answer is lost.
    LoseReply,
    /// The answer is cut short after so many bytes of its body.
    CutReply(usize),
    /// The answer comes slowly: its body in so many pieces, with such a pause before each.
    Drip(usize, Duration),
    /// The last byte of the answer's body is another.
    Spoil,
    /// Another answer: status, headers, body; the server does not hear of it.
    Answer(u16, Vec<(String, String)>, String),
}

/// Says for each request (its number from 0 on, and what it is) what is done to it.
type Plan = Box<dyn FnMut(usize, &Seen) -> Option<Fault> + Send>;

struct State {
    seen: Vec<Seen>,
    plan: Plan,
}

/// A running proxy; it ends with the process.
pub struct Proxy {
    /// Its address.
    pub address: String,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    /// Starts one before the server at `http://HOST:PORT`, that lets everything pass.
    pub fn before(server: &str) -> Self {
        Self::start(server, false)
    }

    /// The same, for a server that answers only to its own name: requests are told it in place of the proxy's.
    pub fn in_the_name_of(server: &str) -> Self {
        Self::start(server, true)
    }

    fn start(server: &str, own_name: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = server.strip_prefix("http://").unwrap().to_owned();
        let state = Arc::new(Mutex::new(State { seen: Vec::new(), plan: Box::new(|_, _| None) }));
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, state) = (server.clone(), shared.clone());
                std::thread::spawn(move || while serve(&client, &server, own_name, &state).unwrap_or(false) {});
            }
        });
        Self { address, state }
    }

    /// From now on, counts requests from 0 and does to each what `plan` says.
    pub fn plan(&self, plan: impl FnMut(usize, &Seen) -> Option<Fault> + Send + 'static) {
        let mut state = self.state.lock().unwrap();
        state.seen.clear();
        state.plan = Box::new(plan);
    }

    /// What was asked since the last plan was made.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }
}

/// Serves one request; whether the line may be used for another.
fn serve(client: &TcpStream, server: &str, own_name: bool, state: &Mutex<State>) -> std::io::Result<bool> {
    let Some((head, body)) = message(client)? else { return Ok(false) };
    let first = head.lines().next().unwrap_or_default().to_owned();
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let authorization =
        head.lines().find_map(|line| line.to_ascii_lowercase().starts_with("authorization:").then(|| line[14..].trim().to_owned()));
    let seen = Seen { method, path, authorization, body: String::from_utf8_lossy(&body).into_owned() };
    let fault = {
        let mut state = state.lock().unwrap();
        let number = state.seen.len();
        state.seen.push(seen.clone());
        (state.plan)(number, &seen)
    };
    let reply = match &fault {
        Some(Fault::CutBefore) => return Ok(false),
        Some(Fault::Answer(status, headers, body)) => {
            let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let headers = headers.concat();
            let head = format!("HTTP/1.1 {status} said by the proxy\r\n{headers}content-length: {}\r\n\r\n", body.len());
            [head.as_bytes(), body.as_bytes()].concat()
        }
        _ => {
            let mut upstream = TcpStream::connect(server)?;
            // One line for one request, so that the answer's end is the line's.
            let head = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:")).collect::<Vec<_>>().join("\r\n");
            let head = if own_name { named(&head, server) } else { head };
            let mut whole = format!("{head}\r\nconnection: close\r\n\r\n").into_bytes();
            whole.extend(&body);
            if let Some(Fault::CutDuring) = fault {
                upstream.write_all(&whole[..whole.len() - body.len().div_ceil(2).max(2)])?;
                return Ok(false);
            }
            upstream.write_all(&whole)?;
            let Some((head, body)) = (if seen.method == "HEAD" { head_only(&upstream)? } else { message(&upstream)? }) else {
                return Ok(false);
            };
            // An answer to HEAD tells the length of what it does not bring.
            let dropped: &[&str] =
                if seen.method == "HEAD" { &["connection:"] } else { &["connection:", "transfer-encoding:", "content-length:"] };
            let kept = |line: &&str| !dropped.iter().any(|name| line.to_ascii_lowercase().starts_with(name));
            let head: Vec<&str> = head.lines().filter(kept).collect();
            let length = if seen.method == "HEAD" { String::new() } else { format!("content-length: {}\r\n", body.len()) };
            [format!("{}\r\n{length}\r\n", head.join("\r\n")).as_bytes(), &body].concat()
        }
    };
    let mut client = client;
    let body = reply.windows(4).position(|four| four == b"\r\n\r\n").map_or(reply.len(), |end| end + 4);
    match fault {
        Some(Fault::LoseReply) => Ok(false),
        Some(Fault::Spoil) if body < reply.len() => {
            let mut reply = reply;
            *reply.last_mut().unwrap() ^= 1;
            client.write_all(&reply).map(|()| true)
        }
        Some(Fault::Drip(pieces, pause)) => {
            client.write_all(&reply[..body])?;
            for piece in reply[body..].chunks((reply.len() - body).div_ceil(pieces).max(1)) {
                std::thread::sleep(pause);
                client.write_all(piece)?;
            }
            Ok(true)
        }
        Some(Fault::CutReply(bytes)) => {
            client.write_all(&reply[..(body + bytes).min(reply.len().saturating_sub(1))])?;
            Ok(false)
        }
        _ => client.write_all(&reply).map(|()| true),
    }
}

/// A request's head with another `Host`.
fn named(head: &str, host: &str) -> String {
    let line = |line: &str| if line.to_ascii_lowercase().starts_with("host:") { format!("host: {host}") } else { line.to_owned() };
    head.lines().map(line).collect::<Vec<_>>().join("\r\n")
}

/// The head of an answer that has no body.
fn head_only(line: &TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    Ok(head_of(&mut BufReader::new(line))?.map(|head| (head, Vec::new())))
}

/// A message's head, without the empty line at its end; `None` where the line has ended.
fn head_of(reader: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut head = String::new();
    loop {
        let mut next = String::new();
        if reader.read_line(&mut next)? == 0 {
            return Ok(None);
        }
        if next.trim_end().is_empty() {
            break;
        }
        head.push_str(&next);
    }
    Ok(Some(head))
}

/// A message's head, without the empty line at its end, and its body; `None` where the line has ended.
fn message(line: &TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut reader = BufReader::new(line);
    let Some(head) = head_of(&mut reader)? else { return Ok(None) };
    let field = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let mut body = Vec::new();
    if field("transfer-encoding:").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
            let at = body.len();
            body.resize(at + size, 0);
            reader.read_exact(&mut body[at..])?;
            reader.read_line(&mut String::new())?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = field("content-length:") {
        body.resize(length.parse().map_err(std::io::Error::other)?, 0);
        reader.read_exact(&mut body)?;
    } else if head.starts_with("HTTP/") && !head.starts_with("HTTP/1.1 204") {
        reader.read_to_end(&mut body)?;
    }
    Ok(Some((head, body)))
}
