//! `GET /responses` as a WebSocket: `response.create` messages in, a Response's events out, one Response at a time. What
//! the connection remembers of a Response that is not stored goes with it.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{
        FromRequestParts, Request, State,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code},
    },
    http::{HeaderValue, StatusCode, header::ALLOW},
    response::{IntoResponse, Response},
};
use mainstay_runtime::{Caller, Follow, task::TaskKind};
use mainstay_session::{context::Context, feed::What};
use mainstay_vocabulary::{Item, TurnId};
use mainstay_wire::responses::{Frame, View, envelope};
use serde_json::json;
use tokio::time::{Interval, Sleep};

use super::{
    create::check_model,
    input,
    place::{self, Wanted},
    prompt,
};
use crate::{auth::Authenticated, body, error::Error, state::AppState};

/// Pings without any answer after which a client is taken for gone.
const MAX_SILENT: u32 = 3;
/// Most that waits to be written, bytes; the next event waits until the client has taken some.
const WRITE_BUFFER: usize = 256 * 1_024;

/// Opens the connection. A plain GET is answered at once, whoever asks.
pub(super) async fn upgrade(State(state): State<AppState>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &state).await else { return not_a_socket() };
    let caller = match Authenticated::from_request_parts(&mut parts, &state).await {
        Ok(Authenticated(caller)) => caller,
        Err(error) => return error.into_response(),
    };
    let limit = state.settings.body_limit;
    let upgrade = upgrade.max_message_size(limit).max_frame_size(limit).write_buffer_size(0);
    upgrade.max_write_buffer_size(limit.max(WRITE_BUFFER)).on_upgrade(move |socket| async move {
        let tasks = state.engine.tasks().clone();
        let connection = Connection::new(socket, state, caller);
        if tasks.spawn(TaskKind::Connection, connection.run()).is_err() {
            tracing::warn!("too many connections; a WebSocket was dropped");
        }
    })
}

fn not_a_socket() -> Response {
    let message = "GET is not allowed here without an upgrade to a WebSocket.";
    let error = Error::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", message);
    let mut response = error.with_code("method_not_allowed").into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

/// A Response that only this connection knows, with all that a model would be shown after it.
struct Cached {
    turn: TurnId,
    items: Vec<Arc<Item>>,
}

struct Connection {
    socket: WebSocket,
    state: AppState,
    caller: Caller,
    /// The newest one only.
    cached: Option<Cached>,
    ticks: Interval,
    /// Pings since the client was last heard.
    silent: u32,
}

/// Why a connection ends.
struct Gone;

/// What a client sent.
enum Heard {
    Text(Utf8Bytes),
    Binary,
    Nothing,
}

impl Connection {
    fn new(socket: WebSocket, state: AppState, caller: Caller) -> Self {
        let mut ticks = tokio::time::interval(Duration::from_millis(state.settings.keep_alive_ms));
        ticks.reset();
        Self { socket, state, caller, cached: None, ticks, silent: 0 }
    }

    async fn run(mut self) {
        let life = tokio::time::sleep(Duration::from_millis(self.state.settings.socket_ms));
        tokio::pin!(life);
        let close = self.serve(life.as_mut()).await;
        if let Some((code, reason)) = close {
            let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
            let _ = self.socket.send(Message::Close(Some(frame))).await;
        }
    }

    /// Answers messages one after another. Gives how to take leave, where the client is still there.
    async fn serve(&mut self, mut life: std::pin::Pin<&mut Sleep>) -> Option<(u16, &'static str)> {
        let mut stop = self.state.settings.stop.subscribe();
        loop {
            let heard = tokio::select! {
                biased;
                () = async { drop(stop.wait_for(|stop| *stop).await) } => return Some((close_code::RESTART, "the server is stopping")),
                () = &mut life => {
                    let _ = self.tell(&expired()).await;
                    return Some((close_code::NORMAL, "the connection reached its limit"));
                }
                heard = self.hear() => heard,
            };
            let answered = match heard {
                Ok(Heard::Nothing) => Ok(()),
                Ok(Heard::Binary) => self.tell(&Error::invalid("Messages are text.").with_code("invalid_json")).await,
                Ok(Heard::Text(text)) => self.answer(text).await,
                Err(Gone) => return None,
            };
            if answered.is_err() {
                return None;
            }
        }
    }

    /// The next sign of life, or a ping where there is none for a while.
    async fn hear(&mut self) -> Result<Heard, Gone> {
        tokio::select! {
            biased;
            message = self.socket.recv() => {
                self.silent = 0;
                match message {
                    Some(Ok(Message::Text(text))) => Ok(Heard::Text(text)),
                    Some(Ok(Message::Binary(_))) => Ok(Heard::Binary),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(Heard::Nothing),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => Err(Gone),
                }
            }
            _ = self.ticks.tick() => {
                self.silent += 1;
                if self.silent > MAX_SILENT {
                    return Err(Gone);
                }
                self.send(Message::Ping(bytes::Bytes::new())).await?;
                Ok(Heard::Nothing)
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        self.socket.send(message).await.map_err(|_| Gone)
    }

    /// An error, in this transport's envelope.
    async fn tell(&mut self, error: &Error) -> Result<(), Gone> {
        let body = json!({ "type": "error", "status": error.status.as_u16(), "error": {
            "type": error.kind,
            "code": error.code.unwrap_or(error.kind),
            "message": error.message,
            "param": error.param,
        }});
        self.send(Message::Text(body.to_string().into())).await
    }

    /// Answers one message. A turn that fails is not gone on from here.
    async fn answer(&mut self, text: Utf8Bytes) -> Result<(), Gone> {
        let before = self.cached.as_ref().map(|cached| cached.turn);
        let mut named = None;
        let failed = match self.create(text, &mut named).await? {
            Ok(is_failed) => is_failed,
            Err(error) => {
                self.tell(&error).await?;
                true
            }
        };
        if failed && named.is_some() && named == before {
            self.cached = None;
        }
        Ok(())
    }

    /// Makes a Response and streams it; gives whether it failed. `named` becomes the Response that it follows.
    async fn create(&mut self, text: Utf8Bytes, named: &mut Option<TurnId>) -> Result<Result<bool, Error>, Gone> {
        let (view, follow) = match self.begin(text, named).await {
            Ok(Begun::Stream(view, follow)) => (view, follow),
            Ok(Begun::Whole(frames)) => {
                for frame in frames {
                    self.send(Message::Text(frame.data.into())).await?;
                }
                return Ok(Ok(false));
            }
            Err(error) => return Ok(Err(error)),
        };
        self.stream(*view, follow).await
    }

    async fn begin(&mut self, text: Utf8Bytes, named: &mut Option<TurnId>) -> Result<Begun, Error> {
        let engine = Arc::clone(&self.state.engine);
        let _memory = body::account(&self.state, text.len())?;
        let mut message = body::parse(text.as_bytes())?;
        let generates = envelope::take(&mut message)?;
        let mut request = prompt::read(&engine, &self.caller, message).await?;
        *named = request.options.previous;
        check_model(&engine, &request.spec.model)?;
        let items = input::resolve(&engine, &self.caller, std::mem::take(&mut request.input)).await?;
        let cached = self.cached.as_ref().filter(|cached| Some(cached.turn) == request.options.previous);
        let before = cached.map(|cached| cached.items.clone());
        let shape = request.shape;
        if !generates {
            let (head, items) =
                place::warm(&engine, &self.caller, Wanted { request, items, before, idempotent: None }).await?;
            self.cached = Some(Cached { turn: head.turn, items });
            return Ok(Begun::Whole(View::idle(head, shape)));
        }
        let wanted = Wanted { request, items, before, idempotent: None };
        let started = place::start(&engine, &self.caller, wanted).await?;
        Ok(Begun::Stream(Box::new(View::new(started.head, shape, 0)), started.follow))
    }

    /// Sends a Response's events as they come; what the client sends meanwhile is refused. Where the client leaves, the
    /// turn goes on.
    async fn stream(&mut self, mut view: View, mut follow: Follow) -> Result<Result<bool, Error>, Gone> {
        let mut context = Context::default();
        let session = view.head().turn.session;
        while !view.standing().is_final() {
            let moments = tokio::select! {
                biased;
                moments = follow.next() => moments,
                heard = self.hear() => {
                    if !matches!(heard?, Heard::Nothing) {
                        self.tell(&busy()).await?;
                    }
                    continue;
                }
            };
            let Some(moments) = moments else { return Ok(Err(Error::unavailable("The server is stopping."))) };
            let moments = match moments {
                Ok(moments) => moments,
                Err(error) => return Ok(Err(error.into())),
            };
            for moment in &moments {
                if let What::Event(event, _) = &moment.what {
                    context.apply(session, moment.cursor.sequence, event);
                }
                for frame in view.apply(moment) {
                    self.send(Message::Text(frame.data.into())).await?;
                }
            }
        }
        let is_failed = matches!(view.standing().text(), "failed" | "cancelled");
        if !is_failed && view.head().is_ephemeral() {
            let items = context.items.into_iter().map(|(_, item)| item).collect();
            self.cached = Some(Cached { turn: view.head().turn, items });
        }
        Ok(Ok(is_failed))
    }
}

/// A Response that has begun.
enum Begun {
    Stream(Box<View>, Follow),
    /// All its events, at once.
    Whole(Vec<Frame>),
}

fn busy() -> Error {
    Error::conflict("A response is being made on this connection; one at a time.").with_code("response_in_progress")
}

fn expired() -> Error {
    let message = "Responses websocket connection limit reached (60 minutes). \
                   Create a new websocket connection to continue.";
    Error::invalid(message).with_code("websocket_connection_limit_reached")
}
