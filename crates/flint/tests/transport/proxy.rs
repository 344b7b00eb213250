//! A proxy that makes tunnels, or does not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Who asked it for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Such as `CONNECT localhost:443`.
    pub(crate) what: String,
    /// What was said of who asks.
    pub(crate) by: Option<String>,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    serving: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Proxy {
    /// One that lets everybody through, or answers with this status alone.
    pub(crate) async fn start(refusal: Option<&'static str>) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let book = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&book), refusal));
            }
        });
        Proxy { address, asked, serving }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(mut stream: TcpStream, book: Arc<Mutex<Vec<Asked>>>, refusal: Option<&str>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let (first, rest) = head.split_once("\r\n").unwrap_or_default();
    let what = first.trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = rest.lines().filter_map(|line| line.split_once(": "));
    let by = headers.find(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"));
    let asked = Asked { what: what.clone(), by: by.map(|(_, by)| by.to_owned()) };
    book.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    let place = what.strip_prefix("CONNECT ").filter(|_| refusal.is_none());
    let Some(place) = place else {
        let answer = format!("HTTP/1.1 {}\r\n\r\n", refusal.unwrap_or("405 No"));
        stream.write_all(answer.as_bytes()).await.ok();
        return;
    };
    let mut there = TcpStream::connect(place).await.expect("it is there");
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok();
    tokio::io::copy_bidirectional(&mut stream, &mut there).await.ok();
}
