//! Applications: one that tells what it saw, and ones that misbehave byte by byte.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Uri},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Tells what it saw: `{method, target, headers: [[name, value]], body}`.
pub(crate) async fn telling() -> SocketAddr {
    let errors = get(|| async {
        (axum::http::StatusCode::IM_A_TEAPOT, [("server", "kettle/1"), ("x-powered-by", "steam")], "own words")
    });
    let cookies =
        get(|| async { ([("set-cookie", "a=1")], axum::response::AppendHeaders([("set-cookie", "b=2")]), "two") });
    served(Router::new().route("/teapot", errors).route("/cookies", cookies).fallback(any(tell))).await
}

async fn tell(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| [name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()])
        .collect();
    let seen = json!({"method": method.as_str(), "target": uri.to_string(), "headers": headers, "body": String::from_utf8_lossy(&body)});
    let mut response = Body::from(seen.to_string()).into_response();
    response.headers_mut().insert("server", "telling/1.0".parse().unwrap());
    response.headers_mut().insert("x-powered-by", "tests".parse().unwrap());
    response
}

pub(crate) async fn served(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// The value of a header that the application saw, all of them with commas between.
pub(crate) fn header(seen: &serde_json::Value, name: &str) -> Option<String> {
    let all = seen["headers"].as_array().unwrap();
    let found: Vec<_> = all.iter().filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap()).collect();
    (!found.is_empty()).then(|| found.join(","))
}

/// An application of bytes: what came over all its connections, and how many there were.
#[derive(Clone, Default)]
pub(crate) struct Bytewise {
    pub(crate) came: Arc<Mutex<Vec<u8>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) gone: Arc<AtomicUsize>,
}

impl Bytewise {
    /// Each connection, with its number from 1, is given to `speak`.
    pub(crate) async fn speaking<F, R>(speak: F) -> (SocketAddr, Self)
    where
        F: Fn(usize, TcpStream, Self) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, this) = (listener.local_addr().unwrap(), Self::default());
        let told = this.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = told.connections.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::spawn(speak(number, stream, told.clone()));
            }
        });
        (address, this)
    }

    /// Reads a request's head; gives what came, nothing if the other side went.
    pub(crate) async fn head(&self, stream: &mut TcpStream) -> Option<String> {
        let mut head = Vec::new();
        let mut byte = [0; 1];
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte).await.ok()? == 0 {
                self.gone.fetch_add(1, Ordering::SeqCst);
                return None;
            }
            head.push(byte[0]);
            self.came.lock().unwrap().push(byte[0]);
        }
        Some(String::from_utf8_lossy(&head).into_owned())
    }

    pub(crate) fn requests(&self) -> usize {
        let came = self.came.lock().unwrap();
        String::from_utf8_lossy(&came).matches(" HTTP/1.1\r\n").count()
    }
}

/// Answers a request that was read.
pub(crate) async fn answer(stream: &mut TcpStream, text: &str) {
    let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
    let _ = stream.write_all(text.as_bytes()).await;
}
