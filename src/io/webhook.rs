//! Owns the posting of a text to a web address. Invariant: it ends within the time it is given, and neither the address's path nor a header's value is in
//! any error: an address to post to is often a secret itself.

use std::net::IpAddr;
use std::time::Duration;

use ureq::http::Uri;
use ureq::{Agent, Error};

/// How often and for how long it is tried.
#[derive(Debug, Clone, Copy)]
pub struct Trying {
    /// How often at most.
    pub times: u32,
    /// How long one attempt may take.
    pub each: Duration,
    /// The pause before the second attempt, give or take a half; each further one is twice as long. A server that names another is heeded, up to `each`.
    pub pause: Duration,
}

/// An address to post to, checked.
#[derive(Debug)]
pub struct Hook {
    uri: Uri,
    /// Scheme and host: what may be shown.
    shown: String,
    local: bool,
    headers: Vec<(String, String)>,
}

/// Why a text was not posted.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The address is none.
    #[error("the address to post to is no web address")]
    Address,
    /// The address would show its secrets on the way.
    #[error("'{shown}' is not https: what is posted, and its headers, could be read on the way")]
    Open {
        /// Scheme and host.
        shown: String,
    },
    /// The server could not be asked.
    #[error("cannot post to '{shown}', tried {tries} times: {why}")]
    Unreached {
        /// Scheme and host.
        shown: String,
        /// How often it was tried.
        tries: u32,
        /// Why not, the last time.
        why: String,
    },
    /// The server refused.
    #[error("'{shown}' answered {status}, asked {tries} times")]
    Refused {
        /// Scheme and host.
        shown: String,
        /// The HTTP status.
        status: u16,
        /// How often it was tried.
        tries: u32,
    },
}

/// What one attempt came to, if it is not the end of it.
enum Again {
    Status(u16, Option<Duration>),
    Error(String),
}

impl Hook {
    /// An address with the headers to send; https, or http to this machine alone.
    ///
    /// # Errors
    /// When it is something else.
    pub fn new(address: &str, headers: Vec<(String, String)>) -> Result<Self, WebhookError> {
        let uri: Uri = address.parse().map_err(|_| WebhookError::Address)?;
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return Err(WebhookError::Address) };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let local = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
        let shown = format!("{scheme}://{host}{port}");
        match scheme {
            "https" => {}
            "http" if local => {}
            "http" => return Err(WebhookError::Open { shown }),
            _ => return Err(WebhookError::Address),
        }
        Ok(Self { uri, shown, local, headers })
    }

    /// Posts a JSON text. Redirects are not followed: the headers are for this server and no other. What may pass, a server that cannot be reached, is
    /// busy or fails, is tried again.
    ///
    /// # Errors
    /// When the server does not take it.
    pub fn post(&self, json: &str, trying: Trying) -> Result<(), WebhookError> {
        let agent = self.agent(trying.each);
        let mut pause = trying.pause;
        for tries in 1.. {
            let (again, patience) = match self.attempt(&agent, json) {
                Ok(None) => return Ok(()),
                Ok(Some(Again::Status(status, patience))) => (WebhookError::Refused { shown: self.shown.clone(), status, tries }, patience),
                Ok(Some(Again::Error(why))) => (WebhookError::Unreached { shown: self.shown.clone(), tries, why }, None),
                Err(status) => return Err(WebhookError::Refused { shown: self.shown.clone(), status, tries }),
            };
            if tries >= trying.times {
                return Err(again);
            }
            std::thread::sleep(patience.map_or_else(|| jittered(pause), |asked| asked.min(trying.each)));
            pause *= 2;
        }
        unreachable!("it is tried a limited number of times")
    }

    fn agent(&self, each: Duration) -> Agent {
        let config = Agent::config_builder();
        // What is on this machine is not asked for through a proxy.
        let config = if self.local { config.proxy(None) } else { config };
        let config = config.timeout_global(Some(each)).http_status_as_error(false).max_redirects(0).max_redirects_will_error(false);
        config.user_agent(concat!("cbi/", env!("CARGO_PKG_VERSION"))).build().into()
    }

    /// Nothing where the server took it; the status where it never will.
    fn attempt(&self, agent: &Agent, json: &str) -> Result<Option<Again>, u16> {
        let mut request = agent.post(&self.uri).header("Content-Type", "application/json; charset=utf-8");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match request.send(json) {
            Ok(answer) => {
                let status = answer.status().as_u16();
                let seconds = || answer.headers().get("retry-after")?.to_str().ok()?.parse().ok();
                match status {
                    200..300 => Ok(None),
                    408 | 425 | 429 | 500.. => Ok(Some(Again::Status(status, seconds().map(Duration::from_secs)))),
                    _ => Err(status),
                }
            }
            Err(error) => Ok(Some(Again::Error(told(&error)))),
        }
    }
}

/// What went wrong, without a word of what was sent or where to.
fn told(error: &Error) -> String {
    match error {
        Error::Timeout(_) => "it took too long".to_owned(),
        Error::HostNotFound => "the host is not known".to_owned(),
        Error::Io(error) => error.to_string(),
        Error::Rustls(error) => error.to_string(),
        Error::Http(_) | Error::BadUri(_) => "a header has a name or value that no header can have".to_owned(),
        Error::Protocol(_) => "it does not answer as a web server".to_owned(),
        _ => "the connection failed".to_owned(),
    }
}

/// The pause, give or take a half, so that many who wait do not come back together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    const QUICK: Trying = Trying { times: 3, each: Duration::from_secs(20), pause: Duration::from_millis(10) };

    /// A server that answers one connection after the other with these, and tells what it was sent. An empty answer is none at all.
    fn server(answers: &'static [&'static str]) -> (String, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/secret/path", listener.local_addr().unwrap());
        let (tell, told) = channel();
        std::thread::spawn(move || {
            for (answer, stream) in answers.iter().zip(listener.incoming()) {
                let mut stream = stream.unwrap();
                _ = tell.send(request(&mut stream));
                if answer.is_empty() {
                    // Held open, and never answered.
                    std::mem::forget(stream);
                    continue;
                }
                write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            }
        });
        (address, told)
    }

    /// A whole request: its head, and as many bytes as that announces.
    fn request(stream: &mut TcpStream) -> String {
        let (mut text, mut byte) = (String::new(), [0]);
        loop {
            stream.read_exact(&mut byte).unwrap();
            text.push(char::from(byte[0]));
            let head = text.find("\r\n\r\n");
            let length = text.to_ascii_lowercase().split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok());
            if head.is_some_and(|head| text.len() == head + 4 + length.unwrap_or(0)) {
                return text;
            }
        }
    }

    fn hook(address: &str) -> Hook {
        Hook::new(address, vec![("Authorization".into(), "Bearer hush".into())]).unwrap()
    }

    #[test]
    fn the_text_comes_with_its_headers_also_after_the_server_failed_once() {
        let (address, told) = server(&["500 Oh", "200 OK"]);
        hook(&address).post("{\"text\":1}", QUICK).unwrap();
        let all: Vec<String> = told.iter().collect();
        assert_eq!(all.len(), 2);
        for sent in &all {
            assert!(sent.starts_with("POST /secret/path HTTP/1.1\r\n") && sent.ends_with("\r\n\r\n{\"text\":1}"), "{sent}");
            let head = sent.to_ascii_lowercase();
            assert!(head.contains("authorization: bearer hush\r\n") && head.contains("content-type: application/json"), "{sent}");
        }
    }

    #[test]
    fn what_will_not_pass_is_asked_once_and_a_redirect_is_not_followed() {
        for (answer, status) in [("404 Not Found", "404"), ("302 Found\r\nLocation: http://127.0.0.1:1/", "302"), ("401 No", "401")] {
            let (address, told) = server(vec![answer, "200 OK"].leak());
            let error = hook(&address).post("{}", QUICK).unwrap_err().to_string();
            assert!(error.contains(&format!("answered {status}, asked 1 times")), "{error}");
            assert!(told.try_iter().count() == 1 && !error.contains("secret") && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn one_that_never_answers_or_is_not_there_is_given_up_and_named_without_its_path() {
        let (address, told) = server(&["", "", ""]);
        let error = hook(&address).post("{}", Trying { each: Duration::from_millis(80), ..QUICK }).unwrap_err().to_string();
        assert!(error.contains("tried 3 times: it took too long") && !error.contains("secret"), "{error}");
        assert_eq!(told.try_iter().count(), 3);
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = hook(&format!("http://{free}/secret")).post("{}", QUICK).unwrap_err().to_string();
        assert!(error.contains(&format!("'http://{free}', tried 3 times: ")) && !error.contains("secret"), "{error}");
    }

    #[test]
    fn a_server_that_says_when_to_come_back_is_heeded() {
        let (address, told) = server(&["429 Busy\r\nRetry-After: 0", "204 No Content"]);
        hook(&address).post("{}", Trying { pause: Duration::from_hours(1), ..QUICK }).unwrap();
        assert_eq!(told.iter().count(), 2);
    }

    #[test]
    fn only_this_machine_is_told_in_the_open() {
        let refused = |address: &str| Hook::new(address, Vec::new()).unwrap_err().to_string();
        assert_eq!(
            refused("http://hooks.example.org/T1"),
            "'http://hooks.example.org' is not https: what is posted, and its headers, could be read on the way"
        );
        for wrong in ["hooks.example.org/T1", "ftp://hooks.example.org", "", "https:///x"] {
            assert_eq!(refused(wrong), "the address to post to is no web address", "{wrong}");
        }
        for right in ["https://hooks.example.org/T1", "http://localhost:8080/", "http://[::1]:8080/x", "http://127.0.0.1"] {
            assert!(Hook::new(right, Vec::new()).is_ok(), "{right}");
        }
    }
}
