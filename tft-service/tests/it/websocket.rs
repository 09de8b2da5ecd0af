//! A WebSocket client for tests.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::harness::{KEY, TestServer};

/// An open WebSocket; every wait has an end.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

impl Client {
    /// Opens a WebSocket with headers; fails with the HTTP status of a refusal.
    pub(crate) async fn open(address: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(Error::Http(reply)) => Err(reply.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens a WebSocket with the key.
    pub(crate) async fn with_key(server: &TestServer) -> Self {
        Self::open(server.address, &[("x-api-key", KEY)]).await.unwrap()
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Returns the next message of a type; others are passed over.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Value {
        let searching = async {
            loop {
                if let Message::Text(text) = self.socket.next().await.unwrap().unwrap() {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["type"] == kind {
                        return message;
                    }
                }
            }
        };
        timeout(PATIENCE, searching).await.unwrap_or_else(|_| panic!("no {kind}"))
    }

    /// Returns the next message of a type, while the service's clock runs.
    pub(crate) async fn next_in_time(&mut self, server: &TestServer, kind: &str) -> Value {
        let running = async {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                server.clock.advance(Duration::from_millis(20));
            }
        };
        tokio::select! {
            message = self.next_of(kind) => message,
            () = running => unreachable!("time does not end"),
        }
    }

    /// Returns the next message before an update of the state; none when that comes, while the service's clock runs.
    pub(crate) async fn next_before_update(&mut self, server: &TestServer) -> Option<Value> {
        let next = async {
            loop {
                if let Message::Text(text) = self.socket.next().await.unwrap().unwrap() {
                    return serde_json::from_str::<Value>(&text).unwrap();
                }
            }
        };
        let running = async {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                server.clock.advance(Duration::from_millis(20));
            }
        };
        let message = tokio::select! {
            message = timeout(PATIENCE, next) => message.expect("no message"),
            () = running => unreachable!("time does not end"),
        };
        (message["type"] != "data_update").then_some(message)
    }

    /// Reads to the end, and returns the close frame's code and reason.
    pub(crate) async fn ended(&mut self) -> (u16, String) {
        let reading = async {
            let mut closed = None;
            while let Some(Ok(message)) = self.socket.next().await {
                if let Message::Close(Some(frame)) = message {
                    closed = Some((frame.code.into(), frame.reason.to_string()));
                }
            }
            closed
        };
        timeout(PATIENCE, reading).await.expect("the stream goes on").expect("no close frame")
    }

    /// Asks for something and returns the complaint.
    pub(crate) async fn refused(&mut self, message: Value) -> String {
        self.send(message).await;
        let error = self.next_of("error").await;
        format!("{}: {}", error["code"].as_str().unwrap(), error["detail"].as_str().unwrap())
    }

    /// Selects what to hear of, and returns the confirmation.
    pub(crate) async fn subscribe(&mut self, streams: Value, servers: Value) -> Value {
        self.send(json!({"type": "subscribe", "streams": streams, "servers": servers})).await;
        self.next_of("subscription_confirmed").await
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
